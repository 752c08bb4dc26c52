#include "daemon/output_collector.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::size_t output_limit = std::size_t{1} << 20;
constexpr std::size_t pipe_capacity = std::size_t{64} * 1024;

} // namespace

OutputCollector::OutputCollector(UniqueFd fd, OnOutput on_output)
    : fd_(std::move(fd)), on_output_(std::move(on_output)) {
    ::fcntl(fd_.get(), F_SETFL, O_NONBLOCK); // NOLINT(cppcoreguidelines-pro-type-vararg)
}

void OutputCollector::read_available() {
    std::array<char, 16384> chunk; // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
    for (std::size_t total = 0; fd_ && total < pipe_capacity; total += chunk.size()) {
        const ssize_t got = ::read(fd_.get(), chunk.data(), chunk.size());
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (got <= 0) {
            fd_.reset();
            return;
        }
        if (on_output_) {
            on_output_({chunk.data(), static_cast<std::size_t>(got)});
        }
        text_.append(chunk.data(), std::min(static_cast<std::size_t>(got), output_limit - text_.size()));
    }
}

} // namespace capsul
