// The same step in plain C++: a multi-layer perceptron trained by gradient descent or Adam.
//
// The sizes are constants, so that the compiler unrolls and vectorizes every loop:
//   c++ -O3 -march=native -shared -fPIC -DSIZES=64,16,10 -DBATCH=8 -DACTIVATION=RELU -DLOSS=SOFTMAX
//       -DOPTIMIZER=SGD limit.cpp
#include <algorithm>
#include <cmath>
#include <cstdint>

enum { RELU, TANH, SIGMOID };
enum { SOFTMAX, SQUARED, BINARY };
enum { SGD, ADAM };

constexpr int sizes[] = {SIZES};
constexpr int layers = sizeof(sizes) / sizeof(*sizes) - 1;

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

// One dense layer, its outputs h and errors d, and the layers after it.
template <int k>
struct Layer {
  static constexpr int in = sizes[k], out = sizes[k + 1];
  static constexpr bool last = k == layers - 1;
  alignas(64) float w[in][out], b[out], dw[in][out], db[out], h[BATCH][out], d[BATCH][out];
  Layer<k + 1> next;

  float step(const float (*x)[in], const void* y) {
    for (int n = 0; n < BATCH; ++n) {
      float z[out];  // in registers: a compiler must assume that x and h overlap
      std::copy_n(b, out, z);
      for (int i = 0; i < in; ++i)
        for (int j = 0; j < out; ++j) z[j] += x[n][i] * w[i][j];
      std::copy_n(z, out, h[n]);
    }
    float loss;
    if constexpr (last) {
      loss = error(y);
    } else {
      for (int n = 0; n < BATCH; ++n)
        for (int j = 0; j < out; ++j) h[n][j] = activate(h[n][j]);
      loss = next.step(h, y);
      next.pull_back(d);
      for (int n = 0; n < BATCH; ++n)
        for (int j = 0; j < out; ++j) d[n][j] *= slope(h[n][j]);
    }
    std::fill_n(db, out, 0.0f);
    for (int n = 0; n < BATCH; ++n)
      for (int j = 0; j < out; ++j) db[j] += d[n][j];
    for (int i = 0; i < in; ++i) {
      float sums[out] = {};
      for (int n = 0; n < BATCH; ++n)
        for (int j = 0; j < out; ++j) sums[j] += x[n][i] * d[n][j];
      std::copy_n(sums, out, dw[i]);
    }
    return loss;
  }

  // Writes d w^T.
  void pull_back(float (*dx)[in]) const {
    static float wt[out][in];  // transposed, for neighbours to be added at once
    for (int i = 0; i < in; ++i)
      for (int j = 0; j < out; ++j) wt[j][i] = w[i][j];
    for (int n = 0; n < BATCH; ++n) {
      float sums[in] = {};
      for (int j = 0; j < out; ++j)
        for (int i = 0; i < in; ++i) sums[i] += d[n][j] * wt[j][i];
      std::copy_n(sums, in, dx[n]);
    }
  }

  // Returns the loss, and writes its gradient by h into d.
  float error(const void* y) {
    double loss = 0;
    for (int n = 0; n < BATCH; ++n) {
      if (LOSS == SOFTMAX) {
        const int label = static_cast<const int32_t*>(y)[n];
        const float most = *std::max_element(h[n], h[n] + out);
        float sum = 0;
        for (int j = 0; j < out; ++j) sum += d[n][j] = std::exp(h[n][j] - most);
        loss += std::log(sum) + most - h[n][label];
        for (int j = 0; j < out; ++j) d[n][j] = (d[n][j] / sum - (j == label)) / BATCH;
      } else {
        const float* t = static_cast<const float*>(y) + n * out;
        for (int j = 0; j < out; ++j) {
          const float p = h[n][j];
          if (LOSS == SQUARED) {
            d[n][j] = (p - t[j]) / BATCH;
            loss += 0.5f * (p - t[j]) * (p - t[j]);
          } else {
            d[n][j] = (1 / (1 + std::exp(-p)) - t[j]) / (BATCH * out);
            loss += (std::max(p, 0.0f) - p * t[j] + std::log1p(std::exp(-std::abs(p)))) / out;
          }
        }
      }
    }
    return loss / BATCH;
  }

  template <class Function>
  void each(Function f) {
    f(&w[0][0], &dw[0][0], in * out);
    f(b, db, out);
    next.each(f);
  }
};

template <>
struct Layer<layers> {
  template <class Function>
  void each(Function) {}
};

static Layer<0> network;
static float means[2][LEAVES];  // of Adam
static int64_t steps;

static void update(float rate) {
  ++steps;
  const float first = rate / (1 - std::pow(0.9, steps)), second = 1 / (1 - std::pow(0.999, steps));
  int at = 0;
  network.each([&](float* leaf, const float* g, int size) {
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

extern "C" void get(float* leaves) {
  network.each([&](float* leaf, float*, int size) { leaves = std::copy_n(leaf, size, leaves); });
}

extern "C" void set(const float* leaves) {
  network.each([&](float* leaf, float*, int size) {
    std::copy_n(leaves, size, leaf);
    leaves += size;
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
