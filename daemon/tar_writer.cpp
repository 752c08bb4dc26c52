#include "daemon/tar_writer.hpp"

#include "daemon/file_copy.hpp"
#include "lib/error.hpp"

#include <archive.h>
#include <archive_entry.h>
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
      space_(fd_.get(), options_.work, space_reserve), writer_(archive_write_new()) {
    check(archive_write_set_format_pax_restricted(writer_.get()));
    check(archive_write_set_bytes_per_block(writer_.get(), 0)); // nothing is held back from seal()
    if (options_.zstd) {
        zstd_.emplace(fd_.get(), options_.work);
    }
    check(archive_write_open(writer_.get(), this, nullptr, &TarWriter::take, nullptr));
}

/// libarchive would fill up the member with zeros, however many it lacks; archive_write_fail(3) prevents
/// that, and leaks.
TarWriter::~TarWriter() {
    is_given_up_ = true;
    writer_.reset();
}

/// libarchive's callback, through which nothing may be thrown: check() does that.
ssize_t TarWriter::take(archive* /*writer*/, void* self, const void* bytes, std::size_t size) noexcept {
    auto* const writer = static_cast<TarWriter*>(self);
    if (writer->is_given_up_) {
        return -1;
    }
    try {
        writer->write({static_cast<const char*>(bytes), size});
        return static_cast<ssize_t>(size);
    } catch (...) {
        writer->failure_ = std::current_exception();
        return -1;
    }
}

void TarWriter::write(std::string_view piece) {
    if (zstd_) {
        zstd_->write(piece);
    } else {
        write_all(fd_.get(), piece, options_.work);
    }
}

void TarWriter::check(std::int64_t result) {
    if (result >= 0) {
        return;
    }
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    const char* why = archive_error_string(writer_.get());
    throw Error(ErrorCode::internal, options_.work + ": " + (why == nullptr ? "failed" : why));
}

void TarWriter::begin(const std::string& name, std::uint64_t size) {
    constexpr std::uint64_t most_of_header = 8192;
    space_.before(most_of_header);
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), options_.mode);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    archive_entry_set_mtime(entry.get(), options_.time.value().time_since_epoch().count(), 0);
    check(archive_write_header(writer_.get(), entry.get()));
}

void TarWriter::add(std::string_view piece) {
    space_.before(piece.size()); // more than it takes, where it is compressed
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

void TarWriter::seal() {
    check(archive_write_finish_entry(writer_.get()));
    if (zstd_) {
        zstd_->end_frame();
    }
}

void TarWriter::finish() {
    check(archive_write_close(writer_.get()));
    if (zstd_) {
        zstd_->end_frame();
    }
}

} // namespace capsul
