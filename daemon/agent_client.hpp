// The QEMU guest agent, over its virtio-serial socket. Everything it says is a guest's word: bounded,
// checked, never trusted. Knows no capsul noun.
#pragma once

#include "lib/fields.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

struct AgentExecResult {
    int exit_code = 0; ///< 128 + signal when a signal ended it
    std::string out;
    std::string err;
    bool truncated = false; ///< the agent cut the output (it keeps 16 MiB of each)
};

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
    /// unreachable.
    AgentClient(const std::filesystem::path& socket, std::chrono::milliseconds limit);
    ~AgentClient();
    AgentClient(const AgentClient&) = delete;
    AgentClient& operator=(const AgentClient&) = delete;

    /// Runs argv[0] with its arguments in the guest, as the agent's user (root), and waits for its end.
    /// Throws Error: timeout, not_found (no such program in the guest), too_large (both outputs, as the agent
    /// encodes them, exceed 16 MiB), internal.
    [[nodiscard]] AgentExecResult exec(const std::vector<std::string>& argv, const std::string& input,
                                       std::chrono::milliseconds limit);
    /// Addresses of all interfaces but loopback.
    [[nodiscard]] std::vector<AgentAddress> addresses(std::chrono::milliseconds limit);
    /// The content of a guest file of at most `max_bytes`; nothing when it does not exist.
    [[nodiscard]] std::optional<std::string> read_file(const std::string& path, std::size_t max_bytes,
                                                       std::chrono::milliseconds limit);

  private:
    class Channel;
    class GuestFile;
    std::unique_ptr<Channel> channel_;
};

} // namespace capsul
