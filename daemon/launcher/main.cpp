// capsul-run: ExecStart of every VM's unit, of every VPN's, and of those in which files from outside are
// read. Looks from inside whether the sandbox of the unit is there, narrows it, and becomes QEMU, tincd or
// qemu-img. Without privilege, and it never goes on without a sandbox.
#include "daemon/launcher/become.hpp"
#include "daemon/launcher/call_filter.hpp"
#include "daemon/launcher/file_rules.hpp"
#include "daemon/launcher/last_words.hpp"
#include "daemon/launcher/namespaces.hpp"
#include "daemon/launcher/sandbox.hpp"
#include "daemon/launcher/tap.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <sched.h>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {
namespace {

constexpr int wrong_usage = 2;
constexpr int no_sandbox = 78; // EX_CONFIG (sysexits.h)

std::string joined(const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : words) {
        line += (line.empty() ? "" : ", ") + word;
    }
    return line;
}

int check(const Options& options) {
    const auto missing = missing_directives(options);
    std::printf("sandbox: %s\n", missing.empty() ? "complete" : ("not in force: " + joined(missing)).c_str());
    const int version = landlock_version();
    if (version > 0) {
        std::printf("landlock: version %d\n", version);
    } else {
        std::puts("landlock: not in this kernel; the unit's mount namespace alone hides files");
    }
    return missing.empty() ? 0 : no_sandbox;
}

/// Nothing that QEMU could inherit is left but its standard streams.
void drop_inheritance() {
    const rlimit none{0, 0};
    if (::close_range(3, ~0U, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0) {
        throw std::system_error(errno, std::generic_category(), "descriptors and limits");
    }
}

/// The only ones that QEMU ever has: what follows lets it attach to none.
void attach_taps(const Options& options) {
    for (const Tap& tap : options.taps) {
        const int attached = attach_tap(tap.name);
        if (::dup2(attached, tap.descriptor) < 0 || ::fcntl(tap.descriptor, F_SETFD, 0) < 0) {
            throw std::system_error(errno, std::generic_category(), "the descriptor of " + tap.name);
        }
        if (attached != tap.descriptor) {
            ::close(attached);
        }
    }
}

[[noreturn]] void narrow_and_become(const Options& options) {
    confine_files(options);
    filter_calls(options);
    become(options.command);
}

/// As the first in a process namespace, and without any network, which the unit alone may not be able to take
/// away. Returns how it ended, as a shell tells it.
int run_apart(const Options& options) {
    enter_namespaces(CLONE_NEWNET | CLONE_NEWPID);
    set_capabilities(0);
    const pid_t child = ::fork();
    if (child < 0) {
        throw std::system_error(errno, std::generic_category(), "a process namespace");
    }
    if (child == 0) {
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
            throw std::system_error(errno, std::generic_category(), "signals");
        }
        narrow_and_become(options);
    }
    int how = 0;
    if (::waitpid(child, &how, 0) != child) {
        throw std::system_error(errno, std::generic_category(), options.command.front());
    }
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

int run(const Options& options) {
    if (options.check) {
        return check(options);
    }
    if (const auto missing = missing_directives(options); !missing.empty()) {
        std::fprintf(
            stderr,
            "capsul-run: %s is not started without its sandbox; not in force: %s (a drop-in of the unit "
            "may have switched it off: systemctl --user cat)\n",
            options.command.front().c_str(), joined(missing).c_str());
        return no_sandbox;
    }
    drop_inheritance();
    attach_taps(options);
    if (options.children) {
        return run_apart(options);
    }
    narrow_and_become(options);
}

int run_or_explain(const std::vector<std::string>& words) {
    try {
        return run(parse_options(words));
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "capsul-run: %s\n%s", error.what(), usage);
        return wrong_usage;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-run: %s\n", error.what());
        return 1;
    }
}

} // namespace
} // namespace capsul::launcher

int main(int argc, char** argv) {
    const int status = capsul::launcher::run_or_explain({argv + (argc > 0 ? 1 : 0), argv + argc});
    capsul::launcher::finish_output();
    return status;
}
