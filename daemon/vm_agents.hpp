// The agents in the guests: one conversation at a time with each, and a command that runs leaves room for
// others.
#pragma once

#include "daemon/agent_client.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/vm_host.hpp"

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace capsul {

/// Thread-safe. Whatever waits here ends with an Error (unreachable) when `progress` says that the daemon
/// stops.
class VmAgents {
  public:
    explicit VmAgents(const Paths& paths) : paths_(paths) {}

    /// What `work` makes of a conversation, for which the agent's turn and its answer each come within
    /// `limit` or not at all. Throws Error: timeout,
    /// and what AgentClient throws; what is wrong with a guest's data is `internal`, not the caller's
    /// mistake.
    template <class Work>
    auto talk(const Name& name, std::chrono::milliseconds limit, const Progress& progress, Work work) {
        const std::shared_ptr<Agent> mine = claim(name, limit, progress);
        try {
            return work(connected(*mine, name, limit));
        } catch (const Error& error) {
            mine->client.reset(); // whatever follows begins anew
            const bool data = error.code() == ErrorCode::invalid || error.code() == ErrorCode::too_large;
            throw Error(data ? ErrorCode::internal : error.code(), about(name, error.what()), error.hint());
        }
    }

    /// Runs a command to its end; meanwhile the agent is there for others. See AgentClient::exec.
    AgentExecResult exec(const VmExec& call, const std::string& input, const Progress& progress);

  private:
    using Clock = std::chrono::steady_clock;
    struct Agent {
        const Progress* progress = nullptr; ///< of whoever talks with it; guarded by mutex_
        std::optional<AgentClient> client;  ///< whoever talks with it may use this
    };
    /// Its connection is kept while somebody has it.
    std::shared_ptr<Agent> agent(const Name& name);
    /// The VM's agent is the caller's alone while the result lives.
    std::shared_ptr<Agent> claim(const Name& name, std::chrono::milliseconds limit, const Progress& progress);
    AgentClient& connected(Agent& agent, const Name& name, std::chrono::milliseconds limit) const;
    std::optional<AgentExecResult> look_at(const Name& name, std::int64_t pid,
                                           std::chrono::milliseconds limit, const Progress& progress);

    const Paths& paths_;
    std::mutex mutex_;
    std::condition_variable is_free_;
    std::map<Name, std::weak_ptr<Agent>> agents_;
};

} // namespace capsul
