// Storage that grows, for a program without exceptions and without the C++ library.
#pragma once

#include "daemon/nethelper/die.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <type_traits>

namespace capsul::nethelper {

/// Values one after the other. Ends the program when there is no memory.
template <class T>
requires std::is_trivially_copyable_v<T>
class Array {
  public:
    using value_type = T;

    Array() = default;
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { std::free(values_); } // NOLINT(cppcoreguidelines-no-malloc)

    void push_back(const T& value) {
        if (size_ == capacity_) {
            grow();
        }
        values_[size_++] = value;
    }
    void clear() { size_ = 0; }
    [[nodiscard]] T* begin() { return values_; }
    [[nodiscard]] T* end() { return values_ + size_; }
    [[nodiscard]] const T* begin() const { return values_; }
    [[nodiscard]] const T* end() const { return values_ + size_; }

  private:
    void grow() {
        capacity_ = capacity_ == 0 ? 64 : capacity_ * 2;
        values_ = static_cast<T*>(::reallocarray(values_, capacity_, sizeof(T)));
        if (values_ == nullptr) {
            die_errno(ENOMEM, "there is no memory");
        }
    }

    T* values_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

} // namespace capsul::nethelper
