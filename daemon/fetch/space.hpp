// Room on the file system, of which others keep some.
#pragma once

#include <cstdint>
#include <filesystem>

namespace capsul::fetch {

class Space {
  public:
    /// `keep_free` bytes of the file system that `folder` is on are for others.
    Space(std::filesystem::path folder, std::uint64_t keep_free)
        : folder_(std::move(folder)), keep_free_(keep_free) {}

    /// Throws Error (no_space) when there is no room for `bytes` more.
    void check(std::uint64_t bytes) const;
    /// The same while something is written of which nobody knows how long it gets: told of each piece, looks
    /// now and then.
    void used(std::uint64_t bytes);

  private:
    std::filesystem::path folder_;
    std::uint64_t keep_free_;
    std::uint64_t unseen_ = 0;
};

} // namespace capsul::fetch
