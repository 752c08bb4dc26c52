// Writes what is mostly zeros, such as a disk, without taking room for them.
#pragma once

#include "lib/space.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

class SparseWriter {
  public:
    /// `fd` is a new, empty file; `what` names it, or the work, in Errors. Of its file system `keep_free`
    /// bytes are for others.
    SparseWriter(int fd, std::string what, std::uint64_t keep_free = 0)
        : fd_(fd), what_(std::move(what)), space_(fd, what_, keep_free) {}

    /// Blocks of zeros become holes. Throws Error: no_space and such.
    void write(std::string_view piece);
    /// All has been written: a hole at the end is not in the length before.
    void finish() const;
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  private:
    int fd_;
    std::string what_;
    SpaceWatch space_;
    std::uint64_t size_ = 0;
};

} // namespace capsul
