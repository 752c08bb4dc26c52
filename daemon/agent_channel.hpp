// The conversation with a guest agent: one line of JSON each way. Knows no command but that of synchronising.
#pragma once

#include "daemon/json_peer.hpp"
#include "lib/error.hpp"

#include <string>
#include <string_view>

namespace capsul {

/// How much of each string in an answer is kept: base64 of a little more than 1 MiB, so that what was cut can
/// be told from what was not.
constexpr std::size_t agent_string_limit = ((std::size_t{1} << 20U) / 3 + 1) * 4;

/// The agent understood and said no: the words are the guest's.
class AgentRefusal : public Error {
  public:
    AgentRefusal(const std::string& what, std::string_view error_class, std::string words);
    [[nodiscard]] bool is_missing_file() const;

  private:
    std::string words_;
};

/// The socket and the question-and-answer on it. After a failure in the middle of an answer nothing that
/// follows can be trusted to belong to the next question, so the channel is closed.
class AgentChannel {
  public:
    AgentChannel(const std::filesystem::path& socket, Deadline deadline, Cancelled cancelled)
        : name_(socket.string()), cancelled_(std::move(cancelled)), fd_(connect_peer(socket, deadline)) {}

    /// Discards what earlier conversations left, and makes sure that somebody answers.
    void synchronise(Deadline deadline);
    /// The "return" of a command, its strings cut to agent_string_limit. Throws AgentRefusal when the agent
    /// answers with an error, else Error: timeout, unreachable, too_large, internal.
    Json call(const std::string& command, const Json& arguments, Deadline deadline);
    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    void send(const std::string& command, const Json& arguments, Deadline deadline,
              const std::string& prefix = {});
    void receive(Deadline deadline);
    std::string read_line(Deadline deadline);
    void skip_to_sentinel(Deadline deadline);

    std::string name_;
    Cancelled cancelled_;
    UniqueFd fd_;
    std::string received_;
};

} // namespace capsul
