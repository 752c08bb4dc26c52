// The QEMU guest agent, over its virtio-serial socket. Everything it says is a guest's word: bounded,
// checked, never trusted. Knows no capsul noun.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

class AgentChannel;

struct AgentExecResult {
    int exit_code = 0; ///< 128 + signal when a signal ended it
    std::string out;
    std::string err;
    bool truncated = false; ///< only the first MiB of each output is kept
};

/// Exit code 127, and who is missed on standard error.
[[nodiscard]] AgentExecResult no_such_program(const std::string& program);

struct AgentAddress {
    std::string interface;
    std::string mac;
    std::string address; ///< textual IPv4 or IPv6, checked by inet_pton
    int prefix = 0;
};

/// One conversation with one guest's agent; the socket serves one client at a time, so the caller holds that
/// VM's agent lock while this lives.
class AgentClient {
  public:
    /// Connects and synchronises (guest-sync-delimited with a random number). Throws Error: timeout when no
    /// agent answers within `limit` (hint: is qemu-guest-agent installed and running in the guest?),
    /// unreachable. Where `cancelled` is given, each wait asks it at least every quarter of a second, and
    /// ends with unreachable when it is true.
    AgentClient(const std::filesystem::path& socket, std::chrono::milliseconds limit,
                std::function<bool()> cancelled = {});
    ~AgentClient();
    AgentClient(const AgentClient&) = delete;
    AgentClient& operator=(const AgentClient&) = delete;

    /// Makes sure again that somebody answers, for a conversation that goes on after a while. Throws as the
    /// constructor does.
    void synchronise(std::chrono::milliseconds limit);
    /// Runs argv[0] with its arguments in the guest, as the agent's user (root), and waits for its end.
    /// However much it writes, it runs to its end: of each output the first MiB is kept. A program that is
    /// not there ends as a shell tells it, see no_such_program. Throws Error: timeout, internal.
    [[nodiscard]] AgentExecResult exec(const std::vector<std::string>& argv, const std::string& input,
                                       std::chrono::milliseconds limit);
    /// The first half of exec: gives the process's number; nothing when there is no such program in the
    /// guest.
    [[nodiscard]] std::optional<std::int64_t>
    start(const std::vector<std::string>& argv, const std::string& input, std::chrono::milliseconds limit);
    /// The second half: nothing while it runs. The agent tells the result once.
    [[nodiscard]] std::optional<AgentExecResult> result(std::int64_t pid, std::chrono::milliseconds limit);
    /// Addresses of all interfaces but loopback.
    [[nodiscard]] std::vector<AgentAddress> addresses(std::chrono::milliseconds limit);
    /// The content of a guest file of at most `max_bytes`; nothing when it does not exist.
    [[nodiscard]] std::optional<std::string> read_file(const std::string& path, std::size_t max_bytes,
                                                       std::chrono::milliseconds limit);
    /// Writes out what the guest's file systems hold back and keeps them from changing; gives how many. Until
    /// thaw, the agent does little else. After a failure some may be frozen.
    std::int64_t freeze(std::chrono::milliseconds limit);
    void thaw(std::chrono::milliseconds limit);

  private:
    class GuestFile;
    std::unique_ptr<AgentChannel> channel_;
};

} // namespace capsul
