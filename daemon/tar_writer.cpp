#include "daemon/tar_writer.hpp"

#include "daemon/file_copy.hpp"
#include "lib/error.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <fcntl.h>

namespace capsul {
namespace {

struct FreeEntry {
    void operator()(archive_entry* entry) const noexcept { archive_entry_free(entry); }
};

} // namespace

void TarWriter::Free::operator()(archive* writer) const noexcept {
    archive_write_free(writer);
}

TarWriter::TarWriter(const std::filesystem::path& target, TarOptions options)
    : options_(std::move(options)), fd_(open_file(target, O_WRONLY | O_CREAT | O_EXCL)),
      writer_(archive_write_new()) {
    check(archive_write_set_format_pax_restricted(writer_.get()));
    // A warning says that libarchive would run a program for it.
    if (options_.zstd && archive_write_add_filter_zstd(writer_.get()) != ARCHIVE_OK) {
        throw Error(ErrorCode::not_capable, options_.work + ": libarchive cannot compress by zstd");
    }
    check(archive_write_open_fd(writer_.get(), fd_.get()));
}

void TarWriter::check(std::int64_t result) {
    if (result >= 0) {
        return;
    }
    if (archive_errno(writer_.get()) == ENOSPC) {
        throw_errno(ENOSPC, options_.work);
    }
    const char* why = archive_error_string(writer_.get());
    throw Error(ErrorCode::internal, options_.work + ": " + (why == nullptr ? "failed" : why));
}

void TarWriter::begin(const std::string& name, std::uint64_t size) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), options_.mode);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    archive_entry_set_mtime(entry.get(), options_.time.value().time_since_epoch().count(), 0);
    check(archive_write_header(writer_.get(), entry.get()));
}

void TarWriter::add(std::string_view piece) {
    check(archive_write_data(writer_.get(), piece.data(), piece.size()));
}

void TarWriter::add_text(const std::string& name, const std::string& text) {
    begin(name, text.size());
    add(text);
}

void TarWriter::add_file(const std::string& name, const std::filesystem::path& file) {
    begin(name, std::filesystem::file_size(file));
    for_each_piece(file, [this](std::string_view piece) { add(piece); });
}

void TarWriter::finish() {
    check(archive_write_close(writer_.get()));
}

} // namespace capsul
