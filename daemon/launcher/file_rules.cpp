#include "daemon/launcher/file_rules.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {
namespace {

// What Debian's headers (Linux 6.1) do not have yet. The kernel takes a longer structure than its own if the
// rest is 0.
constexpr std::uint64_t access_truncate = 1U << 14U;     // version 3
constexpr std::uint64_t access_device_ioctl = 1U << 15U; // version 5
constexpr std::uint64_t access_tcp = 3;                  // version 4: bind and connect
constexpr std::uint64_t scope_sockets_and_signals = 3;   // version 6
struct RulesetAttributes {
    std::uint64_t files;
    std::uint64_t network;
    std::uint64_t scope;
};

constexpr std::uint64_t read_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t execute_access = read_access | LANDLOCK_ACCESS_FS_EXECUTE;
/// In its runtime folder QEMU makes and replaces its sockets, and no files: they would fill the user's
/// memory.
constexpr std::uint64_t write_access = read_access | LANDLOCK_ACCESS_FS_WRITE_FILE | access_truncate |
                                       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
/// A program's own temporary files and folders.
constexpr std::uint64_t temporary_access = write_access | LANDLOCK_ACCESS_FS_MAKE_REG |
                                           LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                           LANDLOCK_ACCESS_FS_MAKE_SYM;
constexpr std::uint64_t device_access =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | access_device_ioctl;
/// Those of them that a rule about a file may name.
constexpr std::uint64_t file_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                      LANDLOCK_ACCESS_FS_READ_FILE | access_truncate | access_device_ioctl;

/// All that this version knows, so that nothing is allowed by being unknown.
std::uint64_t handled_files(int version) {
    std::uint64_t handled = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1U) - 1;
    handled |= version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
    handled |= version >= 3 ? access_truncate : 0;
    handled |= version >= 5 ? access_device_ioctl : 0;
    return handled;
}

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// A Landlock ruleset being made.
class Ruleset {
  public:
    Ruleset(int version, bool internet) : handled_(handled_files(version)) {
        const RulesetAttributes attributes{handled_, version >= 4 && !internet ? access_tcp : 0,
                                           version >= 6 ? scope_sockets_and_signals : 0};
        fd_ = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
        if (fd_ < 0) {
            fail("Landlock");
        }
    }
    Ruleset(const Ruleset&) = delete;
    Ruleset& operator=(const Ruleset&) = delete;
    ~Ruleset() { ::close(fd_); }

    void allow(const std::string& path, std::uint64_t access) const {
        const int target = ::open(path.c_str(), O_PATH | O_CLOEXEC);
        if (target < 0) {
            fail(path);
        }
        struct stat about {};
        ::fstat(target, &about);
        access &= S_ISDIR(about.st_mode) ? handled_ : handled_ & file_access;
        const landlock_path_beneath_attr rule{access, target};
        const long added = ::syscall(SYS_landlock_add_rule, fd_, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        const int error = errno;
        ::close(target);
        if (added != 0) {
            errno = error;
            fail("Landlock, " + path);
        }
    }

    void allow_if_there(const std::string& path, std::uint64_t access) const {
        if (::access(path.c_str(), F_OK) == 0) {
            allow(path, access);
        }
    }

    void enforce() const {
        if (::syscall(SYS_landlock_restrict_self, fd_, 0) != 0) {
            fail("Landlock");
        }
    }

  private:
    std::uint64_t handled_;
    int fd_;
};

void allow_system(const Ruleset& rules) {
    rules.allow("/usr", execute_access);
    // The unit leaves nothing in /run but the resolver's files.
    for (const char* folder : {"/etc", "/proc", "/sys", "/run"}) {
        rules.allow_if_there(folder, read_access);
    }
    for (const char* device :
         {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/kvm"}) {
        rules.allow_if_there(device, device_access);
    }
}

} // namespace

int landlock_version() {
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0 && errno != ENOSYS && errno != EOPNOTSUPP) {
        fail("Landlock");
    }
    return version < 0 ? 0 : static_cast<int>(version);
}

void confine_files(const Options& options) {
    const int version = landlock_version();
    if (version == 0) {
        return;
    }
    const Ruleset rules(version, options.internet);
    allow_system(rules);
    if (!options.command.empty()) {
        rules.allow(options.command.front(), execute_access); // one of capsul's own may be outside of /usr
    }
    for (const std::string& path : options.read_only) {
        rules.allow(path, read_access);
    }
    if (options.tun) {
        rules.allow("/dev/net/tun", device_access);
        rules.allow("/tmp",
                    write_access | LANDLOCK_ACCESS_FS_MAKE_REG); // tincd insists on a file with its number
    }
    if (options.children) {
        rules.allow("/tmp", temporary_access);
        rules.allow("/var/tmp", temporary_access);
    }
    for (const std::string& path : options.writable) {
        rules.allow(path, write_access);
    }
    rules.enforce();
}

} // namespace capsul::launcher
