// Writes what is mostly zeros, such as a disk, without taking room for them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

class SparseWriter {
  public:
    /// `fd` is a new, empty file; `what` names it, or the work, in Errors.
    SparseWriter(int fd, std::string what) : fd_(fd), what_(std::move(what)) {}

    /// Blocks of zeros become holes.
    void write(std::string_view piece);
    /// All has been written: a hole at the end is not in the length before.
    void finish() const;
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  private:
    int fd_;
    std::string what_;
    std::uint64_t size_ = 0;
};

} // namespace capsul
