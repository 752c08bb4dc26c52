#include "daemon/fetch/part_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t read_size = std::size_t{1} << 20U;
constexpr std::size_t most_remote_bytes = std::size_t{64} << 10U;

/// What was known of `url`; nothing where that cannot be read, since all can be asked again.
std::optional<RemoteFile> read_remote(const fs::path& file, const Url& url) {
    try {
        auto remote = parse<RemoteFile>(read_file(file, most_remote_bytes));
        return remote.url == url ? std::optional(std::move(remote)) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

void cut(int fd, std::uint64_t length, const fs::path& path) {
    if (::ftruncate(fd, static_cast<off_t>(length)) != 0 || ::lseek(fd, 0, SEEK_END) < 0) {
        throw_errno(errno, path.string());
    }
}

std::uint64_t size_of(int fd, const fs::path& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        throw_errno(errno, path.string());
    }
    return static_cast<std::uint64_t>(status.st_size);
}

} // namespace

RemoteFile unknown_file(const Url& url) {
    RemoteFile remote;
    remote.url = url;
    remote.location = url;
    return remote;
}

RemoteFile remote_file(const Url& asked, const Head& head) {
    return {.url = asked,
            .location = head.url,
            .etag = head.etag,
            .last_modified = head.last_modified,
            .modified = head.modified,
            .length = head.length,
            .complete = false};
}

PartFile::PartFile(const fs::path& folder, const Url& url, Progress& progress)
    : path_(folder / "data.part"), remote_path_(folder / "data.json"), remote_(unknown_file(url)),
      fd_(open_file(path_, O_RDWR | O_CREAT | O_NOFOLLOW)) {
    if (auto remote = read_remote(remote_path_, url)) {
        remote_ = std::move(*remote);
        size_ = size_of(fd_.get(), path_);
        if (remote_.complete || can_go_on()) {
            adopt(progress);
            return;
        }
    }
    begin_again(unknown_file(url));
}

void PartFile::adopt(Progress& progress) {
    if (remote_.length && (size_ > *remote_.length || (remote_.complete && size_ < *remote_.length))) {
        begin_again(unknown_file(remote_.url));
        return;
    }
    std::string buffer(read_size, '\0');
    std::uint64_t read = 0;
    while (read < size_) {
        progress.tell(FetchPhase::hashing, read, size_);
        const ssize_t got = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(read));
        if (got <= 0) {
            throw_errno(got == 0 ? EIO : errno, path_.string());
        }
        hash_.add({buffer.data(), static_cast<std::size_t>(got)});
        read += static_cast<std::uint64_t>(got);
    }
    cut(fd_.get(), size_, path_);
    was_left_ = true;
    if (remote_.length == size_) {
        finish();
    }
}

bool PartFile::can_go_on() const {
    return size_ > 0 && !strong_validator(remote_.etag, remote_.last_modified).empty();
}

void PartFile::begin_again(RemoteFile remote) {
    cut(fd_.get(), 0, path_); // first: what is known of a file never stands beside a part of another
    size_ = 0;
    hash_ = FileHash();
    was_left_ = false;
    remote_ = std::move(remote);
    write_remote();
}

void PartFile::learn_length(std::uint64_t length) {
    remote_.length = length;
    write_remote();
}

// A power cut leaves a beginning of what was appended: file systems lengthen a file only after its new bytes
// are on the disk.
void PartFile::append(std::string_view data) {
    write_all(fd_.get(), data, path_.string());
    size_ += data.size();
    hash_.add(data);
}

void PartFile::finish() {
    if (::fsync(fd_.get()) != 0) {
        throw_errno(errno, path_.string());
    }
    remote_.complete = true;
    remote_.length = size_;
    write_remote();
}

void PartFile::discard() {
    std::error_code gone;
    fs::remove(path_, gone);
    fs::remove(remote_path_, gone);
}

void PartFile::write_remote() const {
    replace_file(remote_path_, dump_json(encode(remote_), 1) + "\n");
}

} // namespace capsul::fetch
