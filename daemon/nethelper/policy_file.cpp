#include "daemon/nethelper/policy_file.hpp"

#include "daemon/nethelper/die.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul::nethelper {
namespace {

constexpr const char* policy_path = "/etc/capsul/net.policy";

struct stat status_of(int fd, const char* what) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        die_errno(errno, "%s", what);
    }
    return status;
}

void require_roots_own(int fd, const char* what) {
    const struct stat status = status_of(fd, what);
    if (status.st_uid != 0 || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        die(Exit::unsafe, "%s: it must belong to root, and nobody else may write it", what);
    }
}

/// `fd` is closed; opens `name` in it, which must be no link.
int open_in(int fd, const char* name, int flags, const char* what) {
    const int inner = ::openat(fd, name, flags | O_NOFOLLOW | O_CLOEXEC);
    const int error = errno;
    ::close(fd);
    if (inner < 0) {
        die(Exit::unsafe, "%s: %s", what,
            error == ENOENT ? "there is none" : "it cannot be opened, or it is a link");
    }
    require_roots_own(inner, what);
    return inner;
}

int open_host_policy() {
    const int root = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        die_errno(errno, "/");
    }
    require_roots_own(root, "/");
    const int etc = open_in(root, "etc", O_PATH | O_DIRECTORY, "/etc");
    const int folder = open_in(etc, "capsul", O_PATH | O_DIRECTORY, "/etc/capsul");
    return open_in(folder, "net.policy", O_RDONLY | O_NONBLOCK, policy_path);
}

std::string_view read_all(int fd, PolicyText& text, const char* what) {
    if (!S_ISREG(status_of(fd, what).st_mode)) {
        die(Exit::unsafe, "%s: it is no regular file", what);
    }
    std::size_t size = 0;
    ssize_t got = 1;
    while (size < text.size() && (got = ::read(fd, text.data() + size, text.size() - size)) > 0) {
        size += static_cast<std::size_t>(got);
    }
    if (got < 0) {
        die_errno(errno, "%s", what);
    }
    ::close(fd);
    return {text.data(), size};
}

void parse_or_die(Policy& policy, std::string_view text, const char* what) {
    const auto problem = policy.parse(text);
    if (problem && problem->line > 0) {
        die(Exit::unsafe, "%s, line %u: %s", what, problem->line, problem->what);
    }
    if (problem) {
        die(Exit::unsafe, "%s: %s", what, problem->what);
    }
}

} // namespace

void read_host_policy(Policy& policy, PolicyText& text) {
    parse_or_die(policy, read_all(open_host_policy(), text, policy_path), policy_path);
}

void read_draft(const char* file, Policy& policy, PolicyText& text) {
    const int fd = ::open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        die_errno(errno, "FILE cannot be opened");
    }
    parse_or_die(policy, read_all(fd, text, "FILE"), "FILE");
}

} // namespace capsul::nethelper
