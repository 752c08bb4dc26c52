#include "daemon/fetch/unpack.hpp"

#include "lib/error.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <memory>
#include <string>
#include <string_view>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece = std::size_t{256} * 1024;

struct FreeArchive {
    void operator()(archive* reader) const noexcept { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

[[noreturn]] void refuse_damaged(const char* why) {
    throw Error(ErrorCode::verification,
                fmt::format("the file cannot be unpacked: {}", why == nullptr ? "it is damaged" : why),
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

[[noreturn]] void refuse_archive(const std::string& why) {
    throw Error(ErrorCode::invalid, "the archive " + why, "unpack it by hand, and import the disk in it");
}

void check(archive* reader, int result) {
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        refuse_damaged(archive_error_string(reader));
    }
}

/// One layer of compression, which is known already: nothing is guessed that a hostile file could play with.
void support(archive* reader, Packing packing) {
    switch (packing) {
    case Packing::xz:
        check(reader, archive_read_support_filter_xz(reader));
        break;
    case Packing::zstd:
        check(reader, archive_read_support_filter_zstd(reader));
        break;
    case Packing::gzip:
        check(reader, archive_read_support_filter_gzip(reader));
        break;
    case Packing::bzip2:
        check(reader, archive_read_support_filter_bzip2(reader));
        break;
    case Packing::tar:
    case Packing::none:
        break;
    }
}

Reader open_archive(const fs::path& file, Packing packing, bool is_tar) {
    Reader reader(archive_read_new());
    if (!reader) {
        throw Error(ErrorCode::internal, "no memory for an archive");
    }
    support(reader.get(), packing);
    check(reader.get(), is_tar ? archive_read_support_format_tar(reader.get())
                               : archive_read_support_format_raw(reader.get()));
    check(reader.get(), archive_read_open_filename(reader.get(), file.c_str(), piece));
    return reader;
}

/// False at the end.
bool next_entry(archive* reader, archive_entry*& entry) {
    const int result = archive_read_next_header(reader, &entry);
    if (result == ARCHIVE_EOF) {
        return false;
    }
    check(reader, result);
    return true;
}

/// Not left to libarchive: to it, a disk that begins with zeros is an empty archive.
bool holds_tar(const fs::path& file, Packing packing) {
    if (packing == Packing::tar) {
        return true;
    }
    const Reader reader = open_archive(file, packing, false);
    archive_entry* entry = nullptr;
    std::string start(packing_bytes, '\0');
    if (!next_entry(reader.get(), entry)) {
        return false;
    }
    const la_ssize_t got = archive_read_data(reader.get(), start.data(), start.size());
    if (got < 0) {
        refuse_damaged(archive_error_string(reader.get()));
    }
    return packing_of(std::string_view(start).substr(0, static_cast<std::size_t>(got))) == Packing::tar;
}

void copy_content(archive* reader, archive_entry* entry, SparseFile& disk, const OnUnpacked& on_unpacked) {
    for (;;) {
        const void* data = nullptr;
        std::size_t length = 0;
        la_int64_t offset = 0;
        const int result = archive_read_data_block(reader, &data, &length, &offset);
        if (result == ARCHIVE_EOF) {
            break;
        }
        check(reader, result);
        disk.write({static_cast<const char*>(data), length}, static_cast<std::uint64_t>(offset));
        on_unpacked(static_cast<std::uint64_t>(archive_filter_bytes(reader, -1)));
    }
    const bool ends_in_hole = archive_entry_size_is_set(entry) != 0 && archive_entry_size(entry) > 0;
    disk.finish(ends_in_hole ? static_cast<std::uint64_t>(archive_entry_size(entry)) : 0);
}

} // namespace

void unpack(const fs::path& file, Packing packing, SparseFile& disk, const OnUnpacked& on_unpacked) {
    const Reader reader = open_archive(file, packing, holds_tar(file, packing));
    bool has_disk = false;
    archive_entry* entry = nullptr;
    while (next_entry(reader.get(), entry)) {
        if (archive_entry_filetype(entry) == AE_IFDIR) {
            continue;
        }
        if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr) {
            refuse_archive("holds something else than files");
        }
        if (has_disk) {
            refuse_archive("holds more than one file: which one is the disk cannot be told");
        }
        has_disk = true;
        copy_content(reader.get(), entry, disk, on_unpacked);
    }
    if (!has_disk) {
        refuse_archive("holds no file");
    }
}

} // namespace capsul::fetch
