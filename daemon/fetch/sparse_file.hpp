// A disk that is written with holes where it is zero.
#pragma once

#include "daemon/fetch/space.hpp"
#include "lib/fd.hpp"
#include "lib/size.hpp"

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace capsul::fetch {

class SparseFile {
  public:
    /// Empty. Throws Error.
    SparseFile(std::filesystem::path path, Bytes max_size, Space space);

    /// Throws Error: too_large when it would become longer than it may, no_space.
    void write(std::string_view data, std::uint64_t offset);
    /// Makes it at least `size` long, and puts it on the disk.
    void finish(std::uint64_t size);
    /// Until now.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  private:
    void check_size(std::uint64_t size) const;
    void write_block(std::string_view block, std::uint64_t offset);

    std::filesystem::path path_;
    Bytes max_size_;
    Space space_;
    UniqueFd fd_;
    std::uint64_t size_ = 0;
};

} // namespace capsul::fetch
