#include "daemon/launcher/last_words.hpp"

#include <cstdio>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace capsul::launcher {
namespace {

constexpr int journal_patience = 1000; // ms

} // namespace

void finish_output() {
    std::fflush(stdout);
    pollfd journal{STDERR_FILENO, 0, 0};
    if (::shutdown(STDERR_FILENO, SHUT_WR) == 0) {
        ::poll(&journal, 1, journal_patience);
    }
}

} // namespace capsul::launcher
