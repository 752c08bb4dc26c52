// The disk that comes out.
#pragma once

#include "lib/fd.hpp"
#include "lib/sparse_writer.hpp"

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace capsul::unpack {

class UnpackedDisk {
  public:
    /// A file that is there, empty, and may have `most` bytes.
    UnpackedDisk(const std::filesystem::path& path, std::uint64_t most);
    /// Throws Error: too_large, no_space.
    void write(std::string_view piece);
    /// All has been written.
    void finish() const { writer_.finish(); }

  private:
    UniqueFd fd_;
    SparseWriter writer_;
    std::uint64_t most_;
};

} // namespace capsul::unpack
