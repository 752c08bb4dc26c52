// capsul-peer sync: tells the other hosts of a VPN what this one knows and hears what they know; asks again
// when it gets SIGHUP. capsul-peer invite: takes in a host that joins by an invitation. capsul-peer check:
// tries how well the others are reached. None has any privilege, and all leave it to capsuld what becomes of
// what they hear.
#include "daemon/peer/check.hpp"
#include "daemon/peer/invite.hpp"
#include "daemon/peer/sync.hpp"

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <systemd/sd-daemon.h>
#include <thread>

namespace capsul::peer {
namespace {

constexpr int wrong_usage = 2;

/// In all threads, before there are any.
sigset_t block_hangup() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

/// Nothing thrown ends this: what is wrong with a file now may be put right.
[[noreturn]] void run_sync(const Options& options) {
    const sigset_t hangup = block_hangup();
    Sync sync(options);
    std::thread([&] { sync.answer(); }).detach();
    std::thread([&] { sync.answer_echoes(); }).detach();
    sd_notify(0, "READY=1");
    for (;;) {
        try {
            sync.ask_all();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
        }
        const timespec interval{options.interval.count(), 0};
        ::sigtimedwait(&hangup, nullptr, &interval);
    }
}

[[noreturn]] void run_invite(const Options& options) {
    Invite invite(options);
    sd_notify(0, "READY=1");
    invite.run();
}

int run_or_explain(const std::vector<std::string>& words) {
    try {
        const Options options = parse_options(words);
        switch (options.command) {
        case Options::Command::invite:
            run_invite(options);
        case Options::Command::sync:
            run_sync(options);
        case Options::Command::check:
            check(options);
        }
        return 0;
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "capsul-peer: %s\n%s", error.what(), usage);
        return wrong_usage;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-peer: %s\n", error.what());
        return 1;
    }
}

} // namespace
} // namespace capsul::peer

int main(int argc, char** argv) {
    return capsul::peer::run_or_explain({argv + (argc > 0 ? 1 : 0), argv + argc});
}
