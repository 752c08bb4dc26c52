// libarchive, for what comes in one file: a compressed one, or a tar.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct archive;

namespace capsul::unpack {

/// A member of an archive.
struct Entry {
    std::string name;
    bool is_file = false; ///< a regular file, and no link to another one
};

class ArchiveReader {
  public:
    enum class Kind { compressed, tar, backup };

    /// Every call throws Error (verification) for a damaged file.
    ArchiveReader(const std::filesystem::path& file, Kind kind);

    /// The next member; of a compressed file the only one. Nothing after the last.
    [[nodiscard]] std::optional<Entry> next();
    /// The next piece of the member, full unless it is the last; empty at its end. Good until the next call.
    [[nodiscard]] std::string_view read();

    /// How many layers of compression there are.
    [[nodiscard]] int layers() const;
    /// How much of the file has been used.
    [[nodiscard]] std::uint64_t used() const;
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  private:
    struct Free {
        void operator()(archive* reader) const noexcept;
    };
    [[noreturn]] void throw_damaged() const;

    std::unique_ptr<archive, Free> reader_;
    std::uint64_t size_;
    std::string piece_;
};

} // namespace capsul::unpack
