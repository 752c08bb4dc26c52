#include "daemon/fetch/local_file.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul::fetch {
namespace {

constexpr std::size_t piece = std::size_t{256} * 1024;

struct stat status_of(int fd, const std::string& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        throw_errno(errno, path);
    }
    if (!S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::invalid, path + ": is not a regular file");
    }
    return status;
}

Head head_of(const Url& url, const struct stat& status) {
    Head head;
    head.status = 200;
    head.url = url;
    head.etag = fmt::format("\"{}-{}.{:09}\"", status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    head.modified = Timestamp(std::chrono::sys_seconds(std::chrono::seconds(status.st_mtim.tv_sec)));
    head.length = static_cast<std::uint64_t>(status.st_size);
    return head;
}

void send_from(int fd, std::uint64_t offset, const OnAnswer& on, const std::string& path) {
    std::string buffer(piece, '\0');
    for (;;) {
        const ssize_t got = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_errno(errno, path);
        }
        if (got == 0) {
            return;
        }
        on.data({buffer.data(), static_cast<std::size_t>(got)});
        offset += static_cast<std::uint64_t>(got);
    }
}

} // namespace

void transfer_local(const Get& get, const OnAnswer& on) {
    const std::string path = get.url.file().string();
    const UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    Head head = head_of(get.url, status_of(fd.get(), path));
    if (!get.if_none_match.empty() && get.if_none_match == head.etag) {
        head.status = 304;
        on.begin(head);
        return;
    }
    const std::uint64_t total = *head.length;
    const bool goes_on = get.from && get.if_range == head.etag && *get.from < total;
    if (goes_on) {
        head.status = 206;
        head.length = total - *get.from;
        head.content_range = fmt::format("bytes {}-{}/{}", *get.from, total - 1, total);
    }
    on.begin(head);
    send_from(fd.get(), goes_on ? *get.from : 0, on, path);
}

} // namespace capsul::fetch
