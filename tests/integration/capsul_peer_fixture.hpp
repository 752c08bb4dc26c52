// capsul-peer as a process of its own, on addresses of the loopback interface that no other test has.
#pragma once

#include "lib/fd.hpp"
#include "lib/tls.hpp"
#include "tests/integration/own_ports.hpp"
#include "tests/temporary_folder.hpp"
#include "tests/vpn_hosts.hpp"

#include <csignal>
#include <fmt/format.h>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>

namespace capsul::test {

/// False when it has not come true after half a minute, which is for tests that fail.
inline bool comes_true(const std::function<bool()>& condition) {
    for (const Deadline end = within(std::chrono::seconds(30)); within({}) < end;) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

/// 127.X.Y.REST, of which this process alone has X and Y.
inline std::string loopback(int rest) {
    const int block = (own_port(0) - 10000) / ports_each;
    return fmt::format("127.{}.{}.{}", 100 + block / 250, block % 250, rest);
}

inline std::string vpn_subnet() {
    return loopback(0) + "/24";
}

/// The program, with what it writes thrown away; ends with this.
class PeerProcess {
  public:
    explicit PeerProcess(std::vector<std::string> words) {
        words.insert(words.begin(), CAPSUL_PEER);
        std::vector<char*> argv;
        for (std::string& word : words) {
            argv.push_back(word.data());
        }
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
    }
    PeerProcess(const PeerProcess&) = delete;
    PeerProcess& operator=(const PeerProcess&) = delete;
    ~PeerProcess() {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }
    void hang_up() const { ::kill(pid_, SIGHUP); }
    /// Whether it ends by itself, and well.
    [[nodiscard]] bool ends_well() const {
        siginfo_t info{};
        const auto has_ended = [&] {
            return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT | WNOHANG) == 0 &&
                   info.si_pid == pid_;
        };
        return comes_true(has_ended) && info.si_code == CLD_EXITED && info.si_status == 0;
    }

  private:
    pid_t pid_ = 0;
};

inline UniqueFd connected_from(const std::string& source, const std::string& target, std::uint16_t port) {
    return connect_tcp(SocketAddress(target, port), IpAddress::parse(source),
                       within(std::chrono::seconds(10)));
}

} // namespace capsul::test
