#include "daemon/ova_file.hpp"

#include "daemon/digest.hpp"
#include "daemon/ovf.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece_size = std::size_t{1} << 20U;
constexpr const char* work = "writing the OVA";

struct FreeArchive {
    void operator()(archive* writer) const noexcept { archive_write_free(writer); }
};
struct FreeEntry {
    void operator()(archive_entry* entry) const noexcept { archive_entry_free(entry); }
};

void each_piece(const fs::path& file, const std::function<void(std::string_view)>& take) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    std::string piece(piece_size, '\0');
    for (ssize_t got = 1; got != 0;) {
        got = ::read(fd.get(), piece.data(), piece.size());
        if (got < 0 && errno != EINTR) {
            throw_errno(errno, work);
        }
        if (got > 0) {
            take(std::string_view(piece).substr(0, static_cast<std::size_t>(got)));
        }
    }
}

/// USTAR, as the specification wants it, unless a file is larger than that can say.
class TarFile {
  public:
    explicit TarFile(const fs::path& target)
        : fd_(open_file(target, O_WRONLY | O_CREAT | O_EXCL)), writer_(archive_write_new()) {
        archive_write_set_format_pax_restricted(writer_.get());
        check(archive_write_open_fd(writer_.get(), fd_.get()));
    }

    void begin(const std::string& name, std::uint64_t size) {
        const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), 0644);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
        check(archive_write_header(writer_.get(), entry.get()));
    }
    void add(std::string_view piece) { check(archive_write_data(writer_.get(), piece.data(), piece.size())); }
    void add_text(const std::string& name, const std::string& text) {
        begin(name, text.size());
        add(text);
    }
    void finish() { check(archive_write_close(writer_.get())); }

  private:
    void check(la_ssize_t result) {
        if (result >= 0) {
            return;
        }
        if (archive_errno(writer_.get()) == ENOSPC) {
            throw_errno(ENOSPC, work);
        }
        const char* why = archive_error_string(writer_.get());
        throw Error(ErrorCode::internal, std::string(work) + ": " + (why == nullptr ? "failed" : why));
    }

    UniqueFd fd_;
    std::unique_ptr<archive, FreeArchive> writer_;
};

} // namespace

void write_ova(const fs::path& target, const Name& machine, const fs::path& vmdk, Bytes disk_size) {
    const std::string disk_name = machine.to_string() + "-disk1.vmdk";
    const std::string descriptor_name = machine.to_string() + ".ovf";
    const std::uint64_t size = fs::file_size(vmdk);
    Hash hash(Hash::Kind::sha256);
    each_piece(vmdk, [&](std::string_view piece) { hash.add(piece); });
    const std::string descriptor = ovf_descriptor(machine, disk_name, size, disk_size);
    TarFile tar(target);
    tar.add_text(descriptor_name, descriptor);
    tar.add_text(machine.to_string() + ".mf",
                 ovf_manifest({{descriptor_name, sha256_hex(descriptor)}, {disk_name, hash.finish()}}));
    tar.begin(disk_name, size);
    each_piece(vmdk, [&](std::string_view piece) { tar.add(piece); });
    tar.finish();
}

} // namespace capsul
