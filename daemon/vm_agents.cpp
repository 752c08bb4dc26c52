#include "daemon/vm_agents.hpp"

#include "daemon/vm_host.hpp"

#include <algorithm>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// Between two looks at a command in the guest, or at whether the daemon stops.
constexpr std::chrono::milliseconds longest_pause = 500ms;
/// For an agent that is busy or asleep, before a command is given up.
constexpr std::chrono::milliseconds longest_wait = 30s;

void check_cancelled(const Name& name, const Progress& progress) {
    if (progress.cancelled()) {
        throw Error(ErrorCode::unreachable, about(name, "capsuld is stopping"));
    }
}

} // namespace

std::shared_ptr<VmAgents::Agent> VmAgents::agent(const Name& name) {
    const std::lock_guard lock(mutex_);
    std::erase_if(agents_, [](const auto& known) { return known.second.expired(); });
    std::shared_ptr<Agent> agent = agents_[name].lock();
    if (!agent) {
        agent = std::make_shared<Agent>();
        agents_[name] = agent;
    }
    return agent;
}

std::shared_ptr<VmAgents::Agent> VmAgents::claim(const Name& name, std::chrono::milliseconds limit,
                                                 const Progress& progress) {
    const std::shared_ptr<Agent> wanted = agent(name);
    const auto end = Clock::now() + limit;
    std::unique_lock lock(mutex_);
    while (wanted->progress != nullptr) {
        check_cancelled(name, progress);
        if (Clock::now() >= end) {
            throw Error(ErrorCode::timeout, about(name, "the guest agent is busy with another command"));
        }
        is_free_.wait_until(lock, std::min(end, Clock::now() + longest_pause));
    }
    wanted->progress = &progress;
    return {wanted.get(), [this, wanted](Agent*) {
                const std::lock_guard release(mutex_);
                wanted->progress = nullptr;
                is_free_.notify_all();
            }};
}

AgentClient& VmAgents::connected(Agent& agent, const Name& name, std::chrono::milliseconds limit) const {
    try {
        if (agent.client) {
            agent.client->synchronise(limit);
        }
    } catch (const Error& error) {
        if (error.code() != ErrorCode::unreachable) {
            throw;
        }
        agent.client.reset(); // that QEMU has ended; there may be another by now
    }
    if (!agent.client) {
        agent.client.emplace(paths_.vm_runtime(name) / "agent.sock", limit,
                             [&agent] { return agent.progress->cancelled(); });
    }
    return *agent.client;
}

AgentExecResult VmAgents::exec(const VmExec& call, const std::string& input, const Progress& progress) {
    // With nobody connected, the agent sleeps a tenth of a second between any two reads of 4 KiB of output.
    const std::shared_ptr<Agent> stays_connected = agent(call.name);
    const auto end = Clock::now() + call.timeout.value();
    const auto left = [&] { return std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()); };
    const auto pid = talk(call.name, std::min(left(), longest_wait), progress,
                          [&](AgentClient& client) { return client.start(call.command, input, left()); });
    if (!pid) {
        return no_such_program(call.command.front());
    }
    for (std::chrono::milliseconds pause = 10ms;; pause = std::min(pause * 3 / 2, longest_pause)) {
        if (auto result = look_at(call.name, *pid, left(), progress)) {
            return std::move(*result);
        }
        check_cancelled(call.name, progress);
        if (left() <= pause) {
            throw Error(ErrorCode::timeout,
                        about(call.name, "the command still runs in the guest after the time limit"));
        }
        std::this_thread::sleep_for(pause);
    }
}

/// Nothing when it runs on, or when the agent has no time to tell.
std::optional<AgentExecResult> VmAgents::look_at(const Name& name, std::int64_t pid,
                                                 std::chrono::milliseconds limit, const Progress& progress) {
    try {
        return talk(name, std::min(limit, longest_wait), progress,
                    [&](AgentClient& client) { return client.result(pid, limit); });
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout) {
            throw;
        }
        return std::nullopt;
    }
}

} // namespace capsul
