#include "daemon/unpack/archive_reader.hpp"

#include "lib/error.hpp"

#include <archive.h>
#include <archive_entry.h>

namespace capsul::unpack {
namespace {

constexpr std::size_t block = std::size_t{256} << 10U;

} // namespace

void ArchiveReader::Free::operator()(archive* reader) const noexcept {
    archive_read_free(reader);
}

ArchiveReader::ArchiveReader(const std::filesystem::path& file, Kind kind)
    : reader_(archive_read_new()), size_(std::filesystem::file_size(file)), piece_(block, '\0') {
    if (kind != Kind::compressed) {
        archive_read_support_format_tar(reader_.get());
        if (kind == Kind::backup) {
            archive_read_support_filter_zstd(reader_.get());
            // The end of the tar is not the end: zstd verifies its checksum there.
            archive_read_set_option(reader_.get(), "tar", "read_concatenated_archives", "1");
        }
    } else {
        archive_read_support_format_raw(reader_.get());
        archive_read_support_format_empty(reader_.get());
        archive_read_support_filter_gzip(reader_.get());
        archive_read_support_filter_bzip2(reader_.get());
        archive_read_support_filter_xz(reader_.get());
        archive_read_support_filter_zstd(reader_.get());
    }
    if (archive_read_open_filename(reader_.get(), file.c_str(), block) != ARCHIVE_OK) {
        throw_damaged();
    }
}

void ArchiveReader::throw_damaged() const {
    const char* why = archive_error_string(reader_.get());
    throw Error(ErrorCode::verification,
                std::string("the file is damaged: ") + (why == nullptr ? "it cannot be unpacked" : why),
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

std::optional<Entry> ArchiveReader::next() {
    archive_entry* found = nullptr;
    const int result = archive_read_next_header(reader_.get(), &found);
    if (result == ARCHIVE_EOF) {
        return std::nullopt;
    }
    if (result != ARCHIVE_OK) {
        throw_damaged();
    }
    const char* name = archive_entry_pathname(found);
    const bool is_link = archive_entry_hardlink(found) != nullptr || archive_entry_symlink(found) != nullptr;
    return Entry{name == nullptr ? "" : name, archive_entry_filetype(found) == AE_IFREG && !is_link};
}

std::string_view ArchiveReader::read() {
    std::size_t filled = 0;
    while (filled < piece_.size()) {
        const la_ssize_t got =
            archive_read_data(reader_.get(), piece_.data() + filled, piece_.size() - filled);
        if (got < 0) {
            throw_damaged();
        }
        if (got == 0) {
            break;
        }
        filled += static_cast<std::size_t>(got);
    }
    return std::string_view(piece_).substr(0, filled);
}

/// libarchive counts the plain file as one.
int ArchiveReader::layers() const {
    return archive_filter_count(reader_.get()) - 1;
}

std::uint64_t ArchiveReader::used() const {
    return static_cast<std::uint64_t>(archive_filter_bytes(reader_.get(), -1));
}

} // namespace capsul::unpack
