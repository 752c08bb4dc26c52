// Writes tar archives by libarchive, plain or compressed by zstd.
#pragma once

#include "daemon/zstd_writer.hpp"
#include "lib/fd.hpp"
#include "lib/size.hpp"
#include "lib/space.hpp"

#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

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
    TarWriter(const TarWriter&) = delete; // libarchive knows where it is
    TarWriter& operator=(const TarWriter&) = delete;
    /// Without finish(), the file is left as it is.
    ~TarWriter();

    /// A member, whose `size` bytes are then added.
    void begin(const std::string& name, std::uint64_t size);
    void add(std::string_view piece);
    void add_text(const std::string& name, const std::string& text);
    void add_file(const std::string& name, const std::filesystem::path& file);
    /// The members so far get a checksum of their own, where it is compressed: a reader that goes on past
    /// them has verified them.
    void seal();
    /// All has been added.
    void finish();

  private:
    struct Free {
        void operator()(archive* writer) const noexcept;
    };
    static ssize_t take(archive* writer, void* self, const void* bytes, std::size_t size) noexcept;
    void write(std::string_view piece);
    void check(std::int64_t result);

    const TarOptions options_;
    UniqueFd fd_;
    SpaceWatch space_;
    std::optional<ZstdWriter> zstd_;
    bool is_given_up_ = false;
    std::exception_ptr failure_;
    std::unique_ptr<archive, Free> writer_;
};

} // namespace capsul
