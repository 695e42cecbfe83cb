"""A corpus of wrong and right backward passes, and the commands that compare them with autodiff.

| command | what it does |
|---|---|
| `python -m catalogue.table` | compares every wrong backward pass, and prints the table by cause |
| `python -m catalogue.repairs` | repairs every wrong backward pass, and counts what is mended |
| `python -m catalogue.field` | prints docs/from-the-field.md: mistakes of the public record |
| `python -m catalogue.right --libraries` | compares functions of other libraries |
| `python -m catalogue.right --seed 0 --count 1000` | compares random right backward passes |
| `python -m catalogue.cost 784-512-512-10` | measures what a comparison costs |

`networks` holds networks with their right backward passes, `mistakes` spoils them by one edit each,
`right` draws random networks, `peers` calls the usual gradient checkers. `make test` compares a few
mistakes of each cause; `pytest -n auto --dist=loadgroup -m corpus` compares all.
"""
