// The same step in plain C++: a multi-layer perceptron trained by gradient descent or Adam.
//
// The sizes are constants, so that the compiler unrolls and vectorizes every loop:
//   c++ -std=c++17 -O3 -march=native -ffast-math -shared -fPIC -DSIZES=64,16,10 -DBATCH=8
//       -DACTIVATION=RELU -DLOSS=SOFTMAX -DOPTIMIZER=SGD limit.cpp
// Rows are padded with zeros to whole vectors, and stay zero.
#include <algorithm>
#include <cmath>
#include <cstdint>

enum { RELU, TANH, SIGMOID };
enum { SOFTMAX, SQUARED, BINARY };
enum { SGD, ADAM };

constexpr int sizes[] = {SIZES};
constexpr int layers = sizeof(sizes) / sizeof(*sizes) - 1;
constexpr int padded(int size) { return (size + 7) / 8 * 8; }

inline float activate(float z) {
  if (ACTIVATION == RELU) return std::max(z, 0.0f);
  if (ACTIVATION == TANH) return std::tanh(z);
  return 1 / (1 + std::exp(-z));
}

// f'(z) as a function of h = f(z).
inline float slope(float h) {
  if (ACTIVATION == RELU) return h > 0;
  if (ACTIVATION == TANH) return 1 - h * h;
  return h * (1 - h);
}

typedef float Vector __attribute__((vector_size(32), aligned(4)));

// c[r][j] = start[j] + sum over t of a(r, t) b[t][j], in blocks whose sums stay in registers.
template <int R, int T, int J, class A>
inline void multiply(A a, const float (*b)[J], const float* start, float (*c)[J]) {
  constexpr int rows = R % 4 == 0 ? 4 : R % 2 == 0 ? 2 : 1;
  constexpr int most = rows == 1 ? 8 : rows == 2 ? 4 : 2;  // vectors
  constexpr int count = J / 8 % most == 0 ? most : J / 8 % 2 == 0 ? 2 : 1;
  for (int r = 0; r < R; r += rows)
    for (int j = 0; j < J; j += 8 * count) {
      Vector sums[rows][count];
#pragma GCC unroll 8
      for (int q = 0; q < rows; ++q)
#pragma GCC unroll 8
        for (int k = 0; k < count; ++k)
          sums[q][k] = start ? *reinterpret_cast<const Vector*>(start + j + 8 * k) : Vector{};
      for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
        for (int q = 0; q < rows; ++q)
#pragma GCC unroll 8
          for (int k = 0; k < count; ++k)
            sums[q][k] += a(r + q, t) * *reinterpret_cast<const Vector*>(&b[t][j + 8 * k]);
#pragma GCC unroll 8
      for (int q = 0; q < rows; ++q)
#pragma GCC unroll 8
        for (int k = 0; k < count; ++k)
          *reinterpret_cast<Vector*>(&c[r + q][j + 8 * k]) = sums[q][k];
    }
}

// One dense layer, its outputs h and errors d, and the layers after it.
template <int k>
struct Layer {
  static constexpr int in = sizes[k], out = sizes[k + 1], wide = padded(out);
  alignas(64) float w[in][wide], b[wide], dw[in][wide], db[wide], h[BATCH][wide], d[BATCH][wide];
  alignas(64) float wt[out][padded(in)];  // w^T
  Layer<k + 1> next;

  template <int stride>
  float step(const float (*x)[stride], const void* y) {
    multiply<BATCH, in, wide>([&](int n, int i) { return x[n][i]; }, w, b, h);
    float loss;
    if constexpr (k == layers - 1) {
      loss = error(y);
    } else {
      for (int n = 0; n < BATCH; ++n)
        for (int j = 0; j < wide; ++j) h[n][j] = activate(h[n][j]);
      loss = next.step(h, y);
      next.pull_back(d);
      for (int n = 0; n < BATCH; ++n)
        for (int j = 0; j < wide; ++j) d[n][j] *= slope(h[n][j]);
    }
    std::fill_n(db, wide, 0.0f);
    for (int n = 0; n < BATCH; ++n)
      for (int j = 0; j < wide; ++j) db[j] += d[n][j];
    multiply<in, BATCH, wide>([&](int i, int n) { return x[n][i]; }, d, nullptr, dw);
    return loss;
  }

  // Writes d w^T: of one sample as dot products, of more by a copy of w^T.
  void pull_back(float (*dx)[padded(in)]) {
    if (BATCH == 1) {
      for (int i = 0; i < in; ++i) {
        float sum = 0;
        for (int j = 0; j < wide; ++j) sum += d[0][j] * w[i][j];
        dx[0][i] = sum;
      }
      return;
    }
    for (int i = 0; i < in; ++i)
      for (int j = 0; j < out; ++j) wt[j][i] = w[i][j];
    multiply<BATCH, out, padded(in)>([&](int n, int j) { return d[n][j]; }, wt, nullptr, dx);
  }

  // Returns the loss, and writes its gradient by h into d.
  float error(const void* y) {
    if (LOSS == SOFTMAX) return cross_entropy(static_cast<const int32_t*>(y));
    const float* t = static_cast<const float*>(y);
    float p[BATCH * out], g[BATCH * out], loss = 0;
    for (int n = 0; n < BATCH; ++n) std::copy_n(h[n], out, p + n * out);
    for (int i = 0; i < BATCH * out; ++i) {
      if (LOSS == SQUARED) {
        g[i] = (p[i] - t[i]) / BATCH;
        loss += 0.5f * (p[i] - t[i]) * (p[i] - t[i]);
      } else {
        const float e = std::exp(-std::abs(p[i]));
        g[i] = ((p[i] > 0 ? 1 : e) / (1 + e) - t[i]) / (BATCH * out);
        loss += (std::max(p[i], 0.0f) - p[i] * t[i] + std::log1p(e)) / out;
      }
    }
    for (int n = 0; n < BATCH; ++n) std::copy_n(g + n * out, out, d[n]);
    return loss / BATCH;
  }

  float cross_entropy(const int32_t* labels) {
    float loss = 0;
    for (int n = 0; n < BATCH; ++n) {
      const float most = *std::max_element(h[n], h[n] + out);
      float sum = 0;
      for (int j = 0; j < wide; ++j) d[n][j] = j < out ? std::exp(h[n][j] - most) : 0;
      for (int j = 0; j < wide; ++j) sum += d[n][j];
      loss += std::log(sum) + most - h[n][labels[n]];
      for (int j = 0; j < wide; ++j) d[n][j] /= sum * BATCH;
      d[n][labels[n]] -= 1.0f / BATCH;
    }
    return loss / BATCH;
  }

  // Calls f with each leaf, its gradient, rows and columns.
  template <class Function>
  void each(Function f) {
    f(&w[0][0], &dw[0][0], in, out);
    f(b, db, 1, out);
    next.each(f);
  }
};

template <>
struct Layer<layers> {
  template <class Function>
  void each(Function) {}
};

constexpr int leaves(int k = 0) {
  return k == layers ? 0 : (sizes[k] + 1) * padded(sizes[k + 1]) + leaves(k + 1);
}

static Layer<0> network;
static float means[OPTIMIZER == ADAM ? 2 : 0][leaves()];
static int64_t steps;

static void update(float rate) {
  ++steps;
  const float first = rate / (1 - std::pow(0.9, steps)), second = 1 / (1 - std::pow(0.999, steps));
  int at = 0;
  network.each([&](float* leaf, const float* g, int rows, int columns) {
    const int size = rows * padded(columns);
    for (int i = 0; i < size; ++i) {
      if (OPTIMIZER == SGD) {
        leaf[i] -= rate * g[i];
        continue;
      }
      float &m = means[0][at + i], &v = means[1][at + i];
      m = 0.9f * m + 0.1f * g[i];
      v = 0.999f * v + 0.001f * g[i] * g[i];
      leaf[i] -= first * m / (std::sqrt(second * v) + 1e-8f);
    }
    at += size;
  });
}

extern "C" void get(float* to) {
  network.each([&](float* leaf, float*, int rows, int columns) {
    for (int i = 0; i < rows; ++i) to = std::copy_n(leaf + i * padded(columns), columns, to);
  });
}

extern "C" void set(const float* from) {
  network.each([&](float* leaf, float*, int rows, int columns) {
    for (int i = 0; i < rows; ++i, from += columns)
      std::copy_n(from, columns, leaf + i * padded(columns));
  });
}

// Trains on every batch in order, `passes` times over; writes the losses of the last pass.
extern "C" void run(const float* x, const char* y, int batches, int y_bytes, int passes, float rate,
                    float* losses) {
  for (int pass = 0; pass < passes; ++pass)
    for (int i = 0; i < batches; ++i) {
      const auto batch = reinterpret_cast<const float(*)[sizes[0]]>(x + i * BATCH * sizes[0]);
      losses[i] = network.step(batch, y + i * y_bytes);
      update(rate);
    }
}
