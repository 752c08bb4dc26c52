#include "cli/input_file.hpp"

#include "lib/error.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

constexpr std::size_t key_file_limit = std::size_t{64} << 10U;

[[noreturn]] void refuse(const char* option, const std::string& path, const std::string& why,
                         std::string hint = {}) {
    const std::string prefix = *option == '\0' ? "" : std::string(option) + ": ";
    throw Error(ErrorCode::invalid, fmt::format("{}{}: {}", prefix, path, why), std::move(hint));
}

UniqueFd open_regular(const char* option, const std::string& path) {
    // O_NONBLOCK: a FIFO without writer must not hold us.
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)); // NOLINT(*-vararg)
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) {
        refuse(option, path, std::generic_category().message(errno));
    }
    if (S_ISDIR(status.st_mode)) {
        refuse(option, path, "is a directory");
    }
    if (!S_ISREG(status.st_mode)) {
        refuse(option, path, "is not a regular file", "give - and pipe it to standard input");
    }
    return fd;
}

} // namespace

UniqueFd open_input(const char* option, const std::string& path) {
    if (path != "-") {
        return open_regular(option, path);
    }
    UniqueFd copy(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)); // NOLINT(*-vararg)
    struct stat status {};
    if (!copy || ::fstat(copy.get(), &status) != 0) {
        refuse(option, "standard input", std::generic_category().message(errno));
    }
    if (S_ISDIR(status.st_mode)) {
        refuse(option, "standard input", "is a directory");
    }
    if (::isatty(copy.get()) == 1) {
        refuse(option, "standard input", "is a terminal", "pipe or redirect a file to it");
    }
    return copy;
}

std::string read_stream(int fd, const std::string& what, std::size_t limit) {
    std::string content;
    std::string piece(std::size_t{64} << 10U, '\0');
    while (true) {
        const ssize_t got = ::read(fd, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_errno(errno, what);
        }
        if (got == 0) {
            return content;
        }
        content.append(piece, 0, static_cast<std::size_t>(got));
        if (content.size() > limit) {
            throw Error(ErrorCode::too_large, fmt::format("{}: is longer than {} KiB", what, limit >> 10U));
        }
    }
}

std::string read_input(const char* option, const std::string& path, std::size_t limit) {
    const UniqueFd fd = open_input(option, path);
    return read_stream(fd.get(), fmt::format("{}: {}", option, path == "-" ? "standard input" : path), limit);
}

std::vector<SshKey> read_ssh_keys(const std::vector<std::string>& files) {
    std::vector<SshKey> keys;
    for (const std::string& file : files) {
        const std::string text = read_input("--ssh-key", file, key_file_limit);
        if (text.find("PRIVATE KEY-----") != std::string::npos) {
            refuse("--ssh-key", file, "is a private key, which must not leave this machine",
                   fmt::format("give the public one, perhaps {}.pub", file));
        }
        std::vector<SshKey> found;
        try {
            found = parse_ssh_keys(text);
        } catch (const Error& error) {
            refuse("--ssh-key", file, error.what(), error.hint());
        }
        if (found.empty()) {
            refuse("--ssh-key", file, "holds no key");
        }
        keys.insert(keys.end(), found.begin(), found.end());
    }
    return keys;
}

std::vector<std::string> default_ssh_key_files() {
    std::vector<std::string> files;
    const char* home = std::getenv("HOME"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    for (const char* kind : {"ed25519", "ed25519_sk", "ecdsa", "ecdsa_sk", "rsa"}) {
        std::string file = fmt::format("{}/.ssh/id_{}.pub", home == nullptr ? "" : home, kind);
        if (home != nullptr && ::access(file.c_str(), R_OK) == 0) {
            files.push_back(std::move(file));
        }
    }
    return files;
}

} // namespace capsul::cli
