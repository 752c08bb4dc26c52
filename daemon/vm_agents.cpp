#include "daemon/vm_agents.hpp"

#include "daemon/vm_host.hpp"

#include <algorithm>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// A command that ends sooner takes one conversation with the agent.
constexpr std::chrono::milliseconds quick_command = 200ms;
/// Between two looks at a command in the guest, or at whether the daemon stops.
constexpr std::chrono::milliseconds longest_pause = 500ms;
/// For an agent that is busy or asleep, before a command is given up.
constexpr std::chrono::milliseconds longest_wait = 5s;

void check_cancelled(const Name& name, const Progress& progress) {
    if (progress.cancelled()) {
        throw Error(ErrorCode::unreachable, about(name, "capsuld is stopping"));
    }
}

} // namespace

std::shared_ptr<void> VmAgents::claim(const Name& name, std::chrono::milliseconds limit,
                                      const Progress& progress) {
    const auto end = Clock::now() + limit;
    std::unique_lock lock(mutex_);
    while (busy_.contains(name)) {
        check_cancelled(name, progress);
        if (Clock::now() >= end) {
            throw Error(ErrorCode::timeout, about(name, "the guest agent is busy with another command"));
        }
        is_free_.wait_until(lock, std::min(end, Clock::now() + longest_pause));
    }
    busy_.insert(name);
    return {nullptr, [this, name](void*) {
                const std::lock_guard release(mutex_);
                busy_.erase(name);
                is_free_.notify_all();
            }};
}

/// The agent is free for others while the command runs: each look at it is a conversation of its own.
AgentExecResult VmAgents::exec(const VmExec& call, const std::string& input, const Progress& progress) {
    const auto end = Clock::now() + call.timeout.value();
    const auto left = [&] { return std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()); };
    std::int64_t pid = 0;
    auto result = talk(call.name, longest_wait, progress, [&](AgentClient& agent) {
        pid = agent.start(call.command, input, left());
        return agent.result(pid, quick_command, left());
    });
    for (std::chrono::milliseconds pause = quick_command; !result;
         pause = std::min(pause * 5 / 4, longest_pause)) {
        check_cancelled(call.name, progress);
        if (left() <= pause) {
            throw Error(ErrorCode::timeout,
                        about(call.name, "the command still runs in the guest after the time limit"));
        }
        std::this_thread::sleep_for(pause);
        result = look_at(call.name, pid, left(), progress);
    }
    return std::move(*result);
}

/// Nothing when it runs on, or when the agent has no time to tell.
std::optional<AgentExecResult> VmAgents::look_at(const Name& name, std::int64_t pid,
                                                 std::chrono::milliseconds limit, const Progress& progress) {
    try {
        return talk(name, std::min(limit, longest_wait), progress,
                    [&](AgentClient& agent) { return agent.result(pid, 0ms, limit); });
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout) {
            throw;
        }
        return std::nullopt;
    }
}

} // namespace capsul
