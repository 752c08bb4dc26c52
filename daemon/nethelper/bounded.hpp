// Storage for a program without exceptions and without the C++ library.
#pragma once

#include <array>
#include <cstddef>

namespace capsul::nethelper {

/// Up to `N` values, in place.
template <class T, std::size_t N>
class Bounded {
  public:
    /// False when it is full.
    [[nodiscard]] bool push_back(const T& value) {
        if (size_ == N) {
            return false;
        }
        values_[size_++] = value;
        return true;
    }
    void pop_back() { --size_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] T& operator[](std::size_t i) { return values_[i]; }
    [[nodiscard]] T* begin() { return values_.data(); }
    [[nodiscard]] T* end() { return values_.data() + size_; }
    [[nodiscard]] const T* begin() const { return values_.data(); }
    [[nodiscard]] const T* end() const { return values_.data() + size_; }

  private:
    std::array<T, N> values_{};
    std::size_t size_ = 0;
};

} // namespace capsul::nethelper
