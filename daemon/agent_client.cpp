#include "daemon/agent_client.hpp"

#include "daemon/agent_channel.hpp"
#include "lib/base64.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <thread>

namespace capsul {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t output_limit = std::size_t{1} << 20U;
constexpr std::size_t address_limit = 256;
constexpr std::int64_t file_chunk = std::int64_t{1} << 20;
constexpr std::string_view install_hint =
    "is qemu-guest-agent installed and running in the guest, and has the guest finished booting?";

[[noreturn]] void fail_malformed(const std::string& what) {
    throw Error(ErrorCode::internal, what + ": the guest agent's answer is malformed");
}

std::int64_t integer(const Json& object, const char* key, const std::string& what) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    if (found == object.end() || !found->is_number_integer()) {
        fail_malformed(what);
    }
    return found->get<std::int64_t>();
}

bool boolean(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_boolean() && found->get<bool>();
}

/// The bytes of a base64 member; an absent one is empty.
std::string bytes(const Json& object, const char* key, const std::string& what) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    if (found == object.end()) {
        return {};
    }
    if (!found->is_string()) {
        fail_malformed(what);
    }
    std::optional<std::string> data = base64_decode(found->get_ref<const std::string&>());
    if (!data) {
        fail_malformed(what);
    }
    return std::move(*data);
}

AgentExecResult exec_result(const Json& status, const std::string& what) {
    AgentExecResult result;
    const bool by_signal = status.contains("signal");
    const std::int64_t code = integer(status, by_signal ? "signal" : "exitcode", what);
    result.exit_code = static_cast<int>(std::clamp<std::int64_t>(code, 0, by_signal ? 127 : 255));
    result.exit_code += by_signal ? 128 : 0;
    result.out = bytes(status, "out-data", what);
    result.err = bytes(status, "err-data", what);
    result.truncated = boolean(status, "out-truncated") || boolean(status, "err-truncated") ||
                       std::max(result.out.size(), result.err.size()) > output_limit;
    result.out.resize(std::min(result.out.size(), output_limit));
    result.err.resize(std::min(result.err.size(), output_limit));
    return result;
}

Json exec_arguments(const std::vector<std::string>& argv, const std::string& input) {
    Json arguments{{"path", argv.at(0)}, {"capture-output", true}};
    arguments["arg"] = std::vector<std::string>(argv.begin() + 1, argv.end());
    if (!input.empty()) {
        arguments["input-data"] = base64_encode(input);
    }
    return arguments;
}

bool is_loopback(const std::string& address) {
    return address.starts_with("127.") || address == "::1";
}

/// The canonical text of an address, or nothing when it is none.
std::optional<std::string> checked_address(const std::string& text, int& longest_prefix) {
    std::array<unsigned char, sizeof(in6_addr)> binary{};
    const int family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
    longest_prefix = family == AF_INET ? 32 : 128;
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    if (::inet_pton(family, text.c_str(), binary.data()) != 1 ||
        ::inet_ntop(family, binary.data(), canonical.data(), canonical.size()) == nullptr) {
        return std::nullopt;
    }
    return canonical.data();
}

/// A MAC address as agents write it, else empty.
std::string checked_mac(const std::string& text) {
    const auto fits = [&](std::size_t i) {
        return i % 3 == 2 ? text[i] == ':' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!fits(i)) {
            return {};
        }
    }
    return text.size() == 17 ? text : std::string{};
}

/// What is an address of this interface is added; what is not is the guest's nonsense and left out.
void add_addresses(std::vector<AgentAddress>& addresses, const Json& interface) {
    const std::string name = peer_words(interface, "name");
    const auto list = interface.is_object() ? interface.find("ip-addresses") : interface.end();
    if (name.empty() || name == "lo" || list == interface.end() || !list->is_array()) {
        return;
    }
    for (const Json& entry : *list) {
        int longest_prefix = 0;
        const auto address = checked_address(peer_words(entry, "ip-address"), longest_prefix);
        if (!address || is_loopback(*address) || addresses.size() >= address_limit) {
            continue;
        }
        const auto found = entry.find("prefix");
        const std::int64_t prefix =
            found != entry.end() && found->is_number_integer() ? found->get<std::int64_t>() : longest_prefix;
        if (prefix >= 0 && prefix <= longest_prefix) {
            addresses.push_back({name, checked_mac(peer_words(interface, "hardware-address")), *address,
                                 static_cast<int>(prefix)});
        }
    }
}

} // namespace

/// An open file of the guest; closed when this goes, as far as the agent still answers.
class AgentClient::GuestFile {
  public:
    GuestFile(AgentChannel& channel, Json handle, Deadline deadline)
        : channel_(channel), handle_(std::move(handle)), deadline_(deadline) {}
    GuestFile(const GuestFile&) = delete;
    GuestFile& operator=(const GuestFile&) = delete;
    ~GuestFile() {
        try {
            channel_.call("guest-file-close", Json{{"handle", handle_}}, deadline_);
        } catch (const std::exception&) {
            // The guest keeps a file open: its loss.
        }
    }

  private:
    AgentChannel& channel_;
    Json handle_;
    Deadline deadline_;
};

AgentClient::AgentClient(const std::filesystem::path& socket, std::chrono::milliseconds limit,
                         Cancelled cancelled) {
    const Deadline deadline = Clock::now() + limit;
    channel_ = std::make_unique<AgentChannel>(socket, deadline, std::move(cancelled));
    synchronise(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()));
}

AgentClient::~AgentClient() = default;

void AgentClient::synchronise(std::chrono::milliseconds limit) {
    try {
        channel_->synchronise(Clock::now() + limit);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout) {
            throw;
        }
        throw Error(ErrorCode::timeout, channel_->name() + ": no guest agent answers",
                    std::string(install_hint));
    }
}

AgentExecResult no_such_program(const std::string& program) {
    AgentExecResult result;
    result.exit_code = 127;
    result.err = quote_peer(program) + ": no such program in the guest\n";
    return result;
}

std::optional<std::int64_t> AgentClient::start(const std::vector<std::string>& argv, const std::string& input,
                                               std::chrono::milliseconds limit) {
    try {
        const Json arguments = exec_arguments(argv, input);
        return integer(channel_->call("guest-exec", arguments, Clock::now() + limit), "pid",
                       channel_->name());
    } catch (const AgentRefusal& refusal) {
        if (!refusal.is_missing_file()) {
            throw;
        }
        return std::nullopt;
    }
}

std::optional<AgentExecResult> AgentClient::result(std::int64_t pid, std::chrono::milliseconds limit) {
    const Json status = channel_->call("guest-exec-status", Json{{"pid", pid}}, Clock::now() + limit);
    return boolean(status, "exited") ? std::optional(exec_result(status, channel_->name())) : std::nullopt;
}

AgentExecResult AgentClient::exec(const std::vector<std::string>& argv, const std::string& input,
                                  std::chrono::milliseconds limit) {
    const Deadline deadline = Clock::now() + limit;
    const auto left = [&] { return std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()); };
    const auto pid = start(argv, input, limit);
    if (!pid) {
        return no_such_program(argv.front());
    }
    std::chrono::milliseconds pause{10}; // the agent has no events
    while (true) {
        if (std::optional<AgentExecResult> ended = result(*pid, left())) {
            return std::move(*ended);
        }
        if (left() <= pause) {
            throw Error(ErrorCode::timeout,
                        quote_peer(argv.front()) + ": still runs in the guest after the time limit");
        }
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 3 / 2, std::chrono::milliseconds(200));
    }
}

std::vector<AgentAddress> AgentClient::addresses(std::chrono::milliseconds limit) {
    const Json interfaces =
        channel_->call("guest-network-get-interfaces", Json::object(), Clock::now() + limit);
    if (!interfaces.is_array()) {
        fail_malformed(channel_->name());
    }
    std::vector<AgentAddress> addresses;
    for (const Json& interface : interfaces) {
        add_addresses(addresses, interface);
    }
    return addresses;
}

std::optional<std::string> AgentClient::read_file(const std::string& path, std::size_t max_bytes,
                                                  std::chrono::milliseconds limit) {
    const Deadline deadline = Clock::now() + limit;
    Json handle;
    try {
        handle = channel_->call("guest-file-open", Json{{"path", path}, {"mode", "r"}}, deadline);
    } catch (const AgentRefusal& refusal) {
        if (!refusal.is_missing_file()) {
            throw;
        }
        return std::nullopt;
    }
    if (!handle.is_number_integer()) {
        fail_malformed(channel_->name());
    }
    const GuestFile file(*channel_, handle, deadline);
    std::string content;
    while (true) {
        const Json part =
            channel_->call("guest-file-read", Json{{"handle", handle}, {"count", file_chunk}}, deadline);
        const std::string data = bytes(part, "buf-b64", channel_->name());
        if (data.size() > max_bytes - content.size()) {
            throw Error(ErrorCode::too_large,
                        quote_peer(path) + ": is longer than " + std::to_string(max_bytes) + " bytes");
        }
        content += data;
        if (boolean(part, "eof")) {
            return content;
        }
        if (data.empty()) {
            fail_malformed(channel_->name());
        }
    }
}

std::int64_t AgentClient::freeze(std::chrono::milliseconds limit) {
    const Json count = channel_->call("guest-fsfreeze-freeze", Json::object(), Clock::now() + limit);
    if (!count.is_number_integer()) {
        fail_malformed(channel_->name());
    }
    return count.get<std::int64_t>();
}

void AgentClient::thaw(std::chrono::milliseconds limit) {
    channel_->call("guest-fsfreeze-thaw", Json::object(), Clock::now() + limit);
}

} // namespace capsul
