"""The candidate's own source, read line by line: what each value is, and the first wrong one."""
