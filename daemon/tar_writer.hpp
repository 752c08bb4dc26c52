// Writes tar archives, plain or compressed, by libarchive.
#pragma once

#include "lib/fd.hpp"
#include "lib/size.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct archive;

namespace capsul {

struct TarOptions {
    std::string work;     ///< what Errors name: "writing the OVA"
    bool zstd = false;    ///< whether it is compressed
    unsigned mode = 0644; ///< of the members
    Timestamp time{};     ///< of the members
};

/// USTAR, unless a file is larger than that can say: then pax.
class TarWriter {
  public:
    /// `target` is new. Every call throws Error (no_space, internal).
    TarWriter(const std::filesystem::path& target, TarOptions options);

    /// A member, whose `size` bytes are then added.
    void begin(const std::string& name, std::uint64_t size);
    void add(std::string_view piece);
    void add_text(const std::string& name, const std::string& text);
    void add_file(const std::string& name, const std::filesystem::path& file);
    /// All has been added.
    void finish();

  private:
    struct Free {
        void operator()(archive* writer) const noexcept;
    };
    void check(std::int64_t result);

    const TarOptions options_;
    UniqueFd fd_;
    std::unique_ptr<archive, Free> writer_;
};

} // namespace capsul
