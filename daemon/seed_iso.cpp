#include "daemon/seed_iso.hpp"

#include "lib/error.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <memory>
#include <string_view>

namespace capsul {
namespace {

using namespace std::string_view_literals;

struct FreeArchive {
    void operator()(archive* writer) const noexcept { archive_write_free(writer); }
};
struct FreeEntry {
    void operator()(archive_entry* entry) const noexcept { archive_entry_free(entry); }
};
using Writer = std::unique_ptr<archive, FreeArchive>;

void check(archive* writer, la_ssize_t result) {
    if (result < 0) {
        const char* why = archive_error_string(writer);
        throw Error(ErrorCode::internal,
                    std::string("making a seed image: ") + (why == nullptr ? "failed" : why));
    }
}

struct FreeReader {
    void operator()(archive* reader) const noexcept { archive_read_free(reader); }
};

void check_read(archive* reader, la_ssize_t result) {
    if (result < 0) {
        const char* why = archive_error_string(reader);
        throw Error(ErrorCode::invalid,
                    std::string("is not a seed image: ") + (why == nullptr ? "it cannot be read" : why));
    }
}

la_ssize_t append(archive* /*writer*/, void* iso, const void* data, std::size_t length) {
    static_cast<std::string*>(iso)->append(static_cast<const char*>(data), length);
    return static_cast<la_ssize_t>(length);
}

void add_file(archive* writer, const std::string& name, const std::string& content) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0400);
    archive_entry_set_nlink(entry.get(), 1);
    archive_entry_set_mtime(entry.get(), 0, 0);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
    check(writer, archive_write_header(writer, entry.get()));
    check(writer, archive_write_data(writer, content.data(), content.size()));
}

// libarchive puts the present time into the volume descriptors (ECMA-119 8.4), into each folder's own records
// (9.1; with Rock Ridge's "TF" in them) and into a note of its own. Below, it is taken out.

constexpr std::size_t sector = 2048;
constexpr std::string_view fixed_date = "1980010100000000\0"sv; ///< ECMA-119 8.4.26.1
constexpr std::string_view fixed_time =
    "\x50\1\1\0\0\0\0"sv; ///< ECMA-119 9.1.5: years since 1900, month, day …

[[noreturn]] void throw_unexpected() {
    throw Error(ErrorCode::internal, "making a seed image: libarchive wrote something unexpected");
}

std::size_t byte_at(const std::string& iso, std::size_t offset) {
    return static_cast<unsigned char>(iso.at(offset));
}

std::size_t number_at(const std::string& iso, std::size_t offset) {
    return byte_at(iso, offset) | byte_at(iso, offset + 1) << 8U | byte_at(iso, offset + 2) << 16U |
           byte_at(iso, offset + 3) << 24U;
}

/// The times in a folder record's Rock Ridge part (RRIP 4.1.6).
void fix_rock_ridge(std::string& iso, std::size_t entry, std::size_t end) {
    while (entry + 4 < end) {
        const std::size_t length = byte_at(iso, entry + 2);
        if (length < 4) {
            return;
        }
        if (iso.compare(entry, 2, "TF") == 0) {
            for (std::size_t time = entry + 5; time + fixed_time.size() <= entry + length;
                 time += fixed_time.size()) {
                iso.replace(time, fixed_time.size(), fixed_time);
            }
        }
        entry += length;
    }
}

void fix_record(std::string& iso, std::size_t record) {
    const std::size_t length = byte_at(iso, record);
    const std::size_t name_length = byte_at(iso, record + 32);
    iso.replace(record + 18, fixed_time.size(), fixed_time);
    fix_rock_ridge(iso, record + 33 + name_length + (name_length % 2 == 0 ? 1 : 0), record + length);
}

void fix_descriptor(std::string& iso, std::size_t descriptor) {
    const std::size_t root = descriptor + 156;
    const std::size_t folder = number_at(iso, root + 2) * sector;
    fix_record(iso, root);
    for (std::size_t record = folder; record < folder + sector && byte_at(iso, record) != 0;
         record += byte_at(iso, record)) {
        fix_record(iso, record);
    }
    for (const std::size_t date : {813U, 830U, 864U}) { // made, changed, effective
        iso.replace(descriptor + date, fixed_date.size(), fixed_date);
    }
}

void remove_clock(std::string& iso) {
    constexpr std::size_t terminator = 255;
    std::size_t descriptor = 16 * sector;
    for (; byte_at(iso, descriptor) != terminator; descriptor += sector) {
        fix_descriptor(iso, descriptor);
    }
    const std::size_t note = descriptor + sector;
    if (iso.compare(note, 5, "INFO ") != 0) {
        throw_unexpected();
    }
    iso.replace(note, sector, sector, '\0');
}

} // namespace

std::string seed_iso(const std::map<std::string, std::string>& files) {
    std::string iso;
    const Writer writer(archive_write_new());
    check(writer.get(), archive_write_set_format_iso9660(writer.get()));
    check(writer.get(),
          archive_write_set_options(writer.get(), "volume-id=cidata,application-id=capsul,!pad"));
    check(writer.get(), archive_write_set_bytes_in_last_block(writer.get(), 1));
    check(writer.get(), archive_write_open(writer.get(), &iso, nullptr, append, nullptr));
    for (const auto& [name, content] : files) {
        add_file(writer.get(), name, content);
    }
    check(writer.get(), archive_write_close(writer.get()));
    try {
        remove_clock(iso);
    } catch (const std::out_of_range&) {
        throw_unexpected();
    }
    return iso;
}

std::map<std::string, std::string> files_in_seed_iso(const std::string& iso) {
    const std::unique_ptr<archive, FreeReader> reader(archive_read_new());
    archive_entry* entry = nullptr;
    std::map<std::string, std::string> files;
    check_read(reader.get(), archive_read_support_format_iso9660(reader.get()));
    check_read(reader.get(), archive_read_open_memory(reader.get(), iso.data(), iso.size()));
    for (int next = 0; (next = archive_read_next_header(reader.get(), &entry)) != ARCHIVE_EOF;) {
        check_read(reader.get(), next);
        if (archive_entry_filetype(entry) != AE_IFREG) {
            continue;
        }
        const char* const name = archive_entry_pathname(entry);
        std::string& content = files[name == nullptr ? "" : name];
        content.resize(static_cast<std::size_t>(archive_entry_size(entry)));
        const la_ssize_t got = archive_read_data(reader.get(), content.data(), content.size());
        check_read(reader.get(), got);
        content.resize(static_cast<std::size_t>(got));
    }
    if (files.empty()) {
        throw Error(ErrorCode::invalid, "is not a seed image: it holds no files");
    }
    return files;
}

} // namespace capsul
