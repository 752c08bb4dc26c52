// capsul-run: its command line, and what it takes from a process. What it may take for a sandbox is shown in
// a real unit, by tests/e2e/test_sandbox.py.
#include "daemon/launcher/call_filter.hpp"
#include "daemon/launcher/file_rules.hpp"
#include "daemon/launcher/sandbox.hpp"
#include "daemon/launcher/tap.hpp"
#include "tests/temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul::launcher {
namespace {

namespace fs = std::filesystem;

/// How `work` ended in a process of its own, as wait(2) tells it: its exit status is what it returns.
int in_child(const std::function<int()>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
        int status = 99;
        try {
            status = work();
        } catch (...) { // the status tells
        }
        ::_exit(status);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

/// The error of a system call that fails, 0 of one that does not.
int error_of(long result) {
    return result == -1 ? errno : 0;
}

Options with_internet() {
    Options options;
    options.internet = true;
    return options;
}

TEST(LauncherOptions, ReadsPathsNetworksAndTheCommand) {
    const Options options =
        parse_options({"--ro", "/a", "--rw", "/b", "--ro", "/c", "--net", "user", "--tap", "10=cap-web-0",
                       "--tap", "12=cap-web-2", "--", "/bin/true", "--ro", "x"});
    EXPECT_EQ(options.read_only, (std::vector<std::string>{"/a", "/c"}));
    EXPECT_EQ(options.writable, std::vector<std::string>{"/b"});
    EXPECT_TRUE(options.internet && !options.check);
    ASSERT_EQ(options.taps.size(), 2U);
    EXPECT_EQ(options.taps.back().descriptor, 12);
    EXPECT_EQ(options.taps.back().name, "cap-web-2");
    EXPECT_EQ(options.command, (std::vector<std::string>{"/bin/true", "--ro", "x"}));
}

TEST(LauncherOptions, GivesNoNetworkUnasked) {
    const Options options = parse_options({"--", "/bin/true"});
    EXPECT_FALSE(options.internet || options.tun || options.children);
    EXPECT_TRUE(options.taps.empty());
}

TEST(LauncherOptions, TakesFlags) {
    const Options options =
        parse_options({"--tun", "--children", "--ro", "/a", "--", "/bin/true", "--check"});
    EXPECT_TRUE(options.tun && options.children);
    EXPECT_FALSE(options.check);
    EXPECT_EQ(options.command.size(), 2U);
    EXPECT_TRUE(parse_options({"--children", "--check"}).check);
}

TEST(LauncherOptions, RefusesWhatItDoesNotUnderstand) {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{},
                                               {"--"},
                                               {"/bin/true"},
                                               {"--", "true"},
                                               {"--ro", "--", "/bin/true"},
                                               {"--ro", "a", "--", "/bin/true"},
                                               {"--rw", "", "--", "/bin/true"},
                                               {"--net", "tap", "--", "/bin/true"},
                                               {"--tap", "cap-web-0", "--", "/bin/true"},
                                               {"--tap", "2=cap-web-0", "--", "/bin/true"},
                                               {"--tap", "10x=cap-web-0", "--", "/bin/true"},
                                               {"--tap", "10=", "--", "/bin/true"},
                                               {"--tap", "10=cap-sixteen-long", "--", "/bin/true"},
                                               {"--rx", "/a", "--", "/bin/true"},
                                               {"--check", "--", "/bin/true"}}) {
        EXPECT_THROW(static_cast<void>(parse_options(words)), std::invalid_argument)
            << testing::PrintToString(words);
    }
}

TEST(LauncherSandbox, TakesOnlyAUserNamespaceOfOneOrTwoForAUnits) {
    EXPECT_TRUE(maps_few_users("      1000       1000          1\n"));
    EXPECT_TRUE(maps_few_users("         0          0          1\n      1000       1000          1\n"));
    EXPECT_FALSE(maps_few_users("         0          0 4294967295\n"));
    // A container's: the unit has none of its own.
    EXPECT_FALSE(maps_few_users("         0     100000      65536\n"));
    EXPECT_FALSE(maps_few_users(""));
}

TEST(LauncherSandbox, IsMissedWhereNoUnitMadeOne) {
    EXPECT_EQ(in_child([] {
                  const auto missing = missing_directives({});
                  const auto misses = [&](const char* directive) {
                      return std::ranges::find(missing, directive) != missing.end();
                  };
                  return misses("PrivateUsers=yes") && misses("RestrictAddressFamilies=") &&
                                 misses("SystemCallFilter=") && misses("PrivateDevices=yes")
                             ? 0
                             : 1;
              }),
              0);
}

/// The error of a system call made behind the filter.
int filtered(const std::function<long()>& call, const Options& options = with_internet()) {
    const int status = in_child([&] {
        filter_calls(options);
        return error_of(call());
    });
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(LauncherCallFilter, RefusesToAttachToOrChangeATapOrFakeInput) {
    for (const unsigned long command : std::initializer_list<unsigned long>{
             TUNSETIFF, SIOCSIFHWADDR, TUNSETOWNER, TUNSETGROUP, TUNSETPERSIST, TUNSETLINK, TUNSETTXFILTER,
             TUNSETCARRIER, TIOCSTI, TIOCLINUX}) {
        EXPECT_EQ(filtered([&] { return ::syscall(SYS_ioctl, -1, command, 0); }), EPERM) << command;
    }
}

TEST(LauncherCallFilter, LooksAtTheBitsThatTheKernelReads) {
    for (const unsigned long command : {0UL + TIOCSTI, TUNSETIFF}) {
        EXPECT_EQ(filtered([&] { return ::syscall(SYS_ioctl, -1, command | 1UL << 32U, 0); }), EPERM);
    }
}

TEST(LauncherCallFilter, LetsQemuUseItsTap) {
    for (const unsigned long command : {TUNGETIFF, TUNSETOFFLOAD, TUNSETSNDBUF, TUNSETVNETHDRSZ}) {
        EXPECT_EQ(filtered([&] { return ::syscall(SYS_ioctl, -1, command, 0); }), EBADF) << command;
    }
}

TEST(LauncherCallFilter, RefusesSignalsToOthers) {
    const long other = ::getpid();
    for (const long call : {SYS_kill, SYS_tkill}) {
        EXPECT_EQ(filtered([&] { return ::syscall(call, other, 0); }), EPERM) << call;
    }
    EXPECT_EQ(filtered([&] { return ::syscall(SYS_tgkill, other, other, 0); }), EPERM);
    EXPECT_EQ(filtered([&] { return ::syscall(SYS_rt_sigqueueinfo, other, 0, 0); }), EPERM);
    EXPECT_EQ(filtered([&] { return ::syscall(SYS_rt_tgsigqueueinfo, other, other, 0, 0); }), EPERM);
    EXPECT_EQ(filtered([] { return ::syscall(SYS_pidfd_send_signal, -1, 0, 0, 0); }), EPERM);
    for (const long command : {F_SETOWN, F_SETOWN_EX, F_SETSIG}) {
        EXPECT_EQ(filtered([&] { return ::syscall(SYS_fcntl, 0, command, other); }), EPERM) << command;
    }
    for (const long command : {FIOSETOWN, SIOCSPGRP}) {
        EXPECT_EQ(filtered([&] { return ::syscall(SYS_ioctl, -1, command, 0); }), EPERM) << command;
    }
}

TEST(LauncherCallFilter, RefusesToLimitOthers) {
    EXPECT_EQ(filtered([other = ::getpid()] { return ::syscall(SYS_prlimit64, other, RLIMIT_CPU, 0, 0); }),
              EPERM);
    EXPECT_EQ(filtered([] { return ::syscall(SYS_prlimit64, 0, RLIMIT_CPU, 0, 0); }), 0);
}

TEST(LauncherCallFilter, LetsAProcessSignalItself) {
    EXPECT_EQ(filtered([] { return ::syscall(SYS_tgkill, ::getpid(), ::getpid(), 0); }), 0);
    EXPECT_EQ(filtered([] { return static_cast<long>(::raise(SIGCONT)); }), 0);
    EXPECT_EQ(filtered([] { return static_cast<long>(::fcntl(0, F_GETFD)); }), 0);
}

TEST(LauncherCallFilter, LetsOnlyUserModeNetworkingConnect) {
    const auto connect = [] { return static_cast<long>(::connect(-1, nullptr, sizeof(sockaddr_in))); };
    EXPECT_EQ(filtered(connect, {}), EPERM);
    EXPECT_EQ(filtered(connect, with_internet()), EBADF);
}

TEST(LauncherCallFilter, LetsUserModeNetworkingSendToInternetAddressesOnly) {
    const auto connect = [](auto length) {
        return filtered([=] { return ::syscall(SYS_connect, -1, 0, length); });
    };
    const auto send = [](auto length) {
        return filtered([=] { return ::syscall(SYS_sendto, -1, 0, 0, 0, 0, length); });
    };
    for (const std::size_t internet : {sizeof(sockaddr_in), sizeof(sockaddr_in6)}) {
        EXPECT_EQ(connect(internet), EBADF);
        EXPECT_EQ(send(internet), EBADF);
    }
    EXPECT_EQ(send(0), EBADF); // where it is connected to
    for (const long other : {3L, 15L, 17L, 27L, 29L, 110L, 1L << 32U | 17L}) {
        EXPECT_EQ(connect(other), EPERM) << other;
        EXPECT_EQ(send(other), EPERM) << other;
    }
}

#ifdef __x86_64__
TEST(LauncherCallFilter, KillsOnCallsOfAnotherArchitecture) {
    constexpr long x32 = 0x40000000;
    EXPECT_EQ(filtered([] { return ::syscall(x32 | SYS_getpid); }), -SIGSYS);
}
#endif

TEST(LauncherTap, IsAttachedToAsQemuWouldDoIt) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a process with a second thread, the sanitizer's, gets no user namespace";
#endif
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
        GTEST_SKIP() << "no TAP can be made here";
    }
    EXPECT_EQ(in_child([] {
                  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
                      return 1;
                  }
                  const int tap = attach_tap("cap-web-0"); // makes one in a namespace of its own
                  ifreq found{};
                  const bool is_tap = ::ioctl(tap, TUNGETIFF, &found) == 0 &&
                                      std::string_view(found.ifr_name) == "cap-web-0" &&
                                      (found.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) ==
                                          (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
                  return is_tap && (::fcntl(tap, F_GETFL) & O_NONBLOCK) != 0 ? 0 : 2;
              }),
              0);
}

class LauncherFileRules : public testing::Test {
  protected:
    void SetUp() override {
        if (landlock_version() == 0) {
            GTEST_SKIP() << "this kernel has no Landlock";
        }
        for (const char* name : {"ro", "rw", "other"}) {
            fs::create_directory(folder_ / name);
            std::ofstream(folder_ / name / "file") << "content";
        }
        options_.read_only = {(folder_ / "ro").string()};
        options_.writable = {(folder_ / "rw").string()};
    }

    /// The error of a system call made behind the rules, with a path below the test's folder.
    int confined(const char* name, const std::function<long(const char* path)>& call) {
        const std::string path = (folder_ / name).string();
        const int status = in_child([&] {
            ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            confine_files(options_);
            return error_of(call(path.c_str()));
        });
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    int opened(const char* name, int flags) {
        return confined(name, [&](const char* path) { return static_cast<long>(::open(path, flags, 0600)); });
    }

    capsul::test::TemporaryFolder temporary_;
    fs::path folder_ = temporary_.path();
    Options options_;
};

TEST_F(LauncherFileRules, AllowWhatIsListedAndOnlyThat) {
    EXPECT_EQ(opened("ro/file", O_RDONLY), 0);
    EXPECT_EQ(opened("ro/file", O_RDWR), EACCES);
    EXPECT_EQ(opened("ro/new", O_CREAT | O_WRONLY), EACCES);
    EXPECT_EQ(opened("rw/file", O_RDWR), 0);
    EXPECT_EQ(opened("rw/new", O_CREAT | O_WRONLY), EACCES);
    EXPECT_EQ(opened("other/file", O_RDONLY), EACCES);
    EXPECT_EQ(opened("other", O_RDONLY | O_DIRECTORY), EACCES);
}

TEST_F(LauncherFileRules, AllowAFileAlone) {
    options_.writable = {(folder_ / "other/file").string()};
    EXPECT_EQ(opened("other/file", O_RDWR | O_TRUNC), 0);
    EXPECT_EQ(opened("other/new", O_CREAT | O_WRONLY), EACCES);
}

TEST_F(LauncherFileRules, AllowSocketsButNoProgramsOrLinksInAWritableFolder) {
    EXPECT_EQ(confined("rw/socket",
                       [](const char* path) {
                           sockaddr_un address{AF_UNIX, {}};
                           std::string_view(path).copy(&address.sun_path[0], sizeof address.sun_path - 1);
                           const int made = ::socket(AF_UNIX, SOCK_STREAM, 0);
                           return static_cast<long>(
                               ::bind(made, reinterpret_cast<const sockaddr*>(&address), sizeof address));
                       }),
              0);
    EXPECT_EQ(confined("rw/link", [](const char* path) { return static_cast<long>(::symlink("/", path)); }),
              EACCES);
    fs::permissions(folder_ / "rw/file", fs::perms::owner_all);
    EXPECT_EQ(confined("rw/file",
                       [](const char* path) {
                           char* const none = nullptr;
                           return static_cast<long>(::execve(path, &none, &none));
                       }),
              EACCES);
}

TEST_F(LauncherFileRules, LetTheProgramItselfRunWhereverItIs) {
    fs::copy_file("/bin/true", folder_ / "other/program");
    const auto run = [](const char* path) -> long {
        std::array<char*, 2> words{const_cast<char*>(path), nullptr}; // NOLINT: the exec API takes char*
        return ::execv(path, words.data());
    };
    EXPECT_EQ(confined("other/program", run), EACCES);
    options_.command = {(folder_ / "other/program").string()};
    EXPECT_EQ(confined("other/program", run), 0);
}

TEST_F(LauncherFileRules, FailOnAPathThatIsNotThere) {
    options_.read_only = {(folder_ / "missing").string()};
    EXPECT_THROW(confine_files(options_), std::system_error);
}

} // namespace
} // namespace capsul::launcher
