#include "daemon/agent_channel.hpp"

#include "lib/json.hpp"

#include <random>

namespace capsul {
namespace {

constexpr std::size_t line_limit = std::size_t{64} << 20U; // the agent itself keeps 16 MiB of each output
constexpr std::size_t kept_limit = std::size_t{4} << 20U;
constexpr char sentinel = '\xFF';

/// A line of JSON whose long strings are cut while it comes in: output that nobody wants whole takes no
/// memory.
class CutLine {
  public:
    /// The number of bytes taken: all, or those up to and with the end of the line.
    std::size_t take(std::string_view bytes) {
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (bytes[i] == '\n') {
                whole_ = true;
                return i + 1;
            }
            take(bytes[i]);
        }
        return bytes.size();
    }
    [[nodiscard]] bool is_whole() const { return whole_; }
    std::string text;

  private:
    void take(char byte) {
        const bool quote = byte == '"' && !escaped_;
        escaped_ = in_string_ && byte == '\\' && !escaped_;
        if (quote) {
            in_string_ = !in_string_;
            length_ = 0;
        }
        if (quote || !in_string_ || ++length_ <= agent_string_limit) {
            text += byte;
        }
    }

    bool whole_ = false;
    bool in_string_ = false;
    bool escaped_ = false;
    std::size_t length_ = 0; ///< of the string
};

} // namespace

AgentRefusal::AgentRefusal(const std::string& what, std::string_view error_class, std::string words)
    : Error(error_class == "CommandNotFound" || error_class == "CommandDisabled" ? ErrorCode::not_capable
                                                                                 : ErrorCode::internal,
            what + ": the guest agent says: " + words),
      words_(std::move(words)) {}

bool AgentRefusal::is_missing_file() const {
    return words_.find("No such file or directory") != std::string::npos;
}

void AgentChannel::send(const std::string& command, const Json& arguments, Deadline deadline,
                        const std::string& prefix) {
    if (!fd_) {
        throw Error(ErrorCode::unreachable,
                    name_ + ": the conversation with the guest agent broke off before");
    }
    const Json message{{"execute", command}, {"arguments", arguments}};
    write_peer(fd_.get(), prefix + dump_json(message) + "\n", deadline, name_, cancelled_);
}

void AgentChannel::receive(Deadline deadline) {
    if (!read_peer(fd_.get(), received_, deadline, name_, cancelled_)) {
        throw Error(ErrorCode::unreachable, name_ + ": QEMU closed the guest agent's socket");
    }
}

std::string AgentChannel::read_line(Deadline deadline) {
    CutLine line;
    std::size_t length = 0;
    while (true) {
        const std::size_t taken = line.take(received_);
        received_.erase(0, taken);
        length += taken;
        if (line.is_whole()) {
            return std::move(line.text);
        }
        if (length > line_limit || line.text.size() > kept_limit) {
            throw Error(ErrorCode::too_large, name_ + ": the guest agent's answer is too long");
        }
        receive(deadline);
    }
}

void AgentChannel::skip_to_sentinel(Deadline deadline) {
    while (true) {
        const std::size_t found = received_.find(sentinel);
        if (found != std::string::npos) {
            received_.erase(0, found + 1);
            return;
        }
        received_.clear();
        receive(deadline);
    }
}

void AgentChannel::synchronise(Deadline deadline) {
    std::random_device random;
    const Json id = random() & 0x7FFFFFFFU;
    send("guest-sync-delimited", Json{{"id", id}}, deadline, std::string(1, sentinel));
    while (true) {
        skip_to_sentinel(deadline);
        // Bytes of an earlier conversation may look like an answer, or like nothing at all.
        try {
            const Json reply = parse_peer(read_line(deadline), name_);
            if (reply.is_object() && reply.contains("return") && reply["return"] == id) {
                return;
            }
        } catch (const Error& error) {
            if (error.code() != ErrorCode::internal) {
                throw;
            }
        }
    }
}

Json AgentChannel::call(const std::string& command, const Json& arguments, Deadline deadline) {
    Json reply;
    try {
        send(command, arguments, deadline);
        reply = parse_peer(read_line(deadline), name_);
    } catch (const Error&) {
        fd_.reset();
        throw;
    }
    if (!reply.is_object() || (!reply.contains("return") && !reply.contains("error"))) {
        fd_.reset();
        throw Error(ErrorCode::internal, name_ + ": the guest agent's answer is malformed");
    }
    if (const auto error = reply.find("error"); error != reply.end()) {
        throw AgentRefusal(name_, peer_words(*error, "class"), peer_words(*error, "desc"));
    }
    return std::move(reply["return"]);
}

} // namespace capsul
