// The start, stop and reload jobs that callers wait for. Everything here runs on the bus thread.
#pragma once

#include "daemon/outcome.hpp"
#include "daemon/systemd_bus.hpp"
#include "daemon/systemd_message.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace capsul {

class SystemdJobs {
  public:
    struct Job {
        std::string unit;
        const char* method = "StartUnit"; ///< or StopUnit, ReloadUnit
        const char* mode = "replace";     ///< see StartUnit in org.freedesktop.systemd1(5)
        [[nodiscard]] bool stops() const { return std::string_view(method) == "StopUnit"; }
        Outcome<JobResult> result;
    };
    using JobPtr = std::shared_ptr<Job>;

    explicit SystemdJobs(SystemdBus& bus) : bus_(bus) {}

    /// Asks systemd for the job; its result comes when the job ends.
    void queue(const JobPtr& job);
    void on_removed(const systemd_message::JobRemoved& removed);
    /// After a reconnection: which ended meanwhile?
    void recheck_all();

  private:
    void accept(const std::string& path, const JobPtr& job);
    void recheck(const std::string& path);
    void settle_lost(const std::string& path);

    SystemdBus& bus_;
    std::multimap<std::string, JobPtr> waiting_;     ///< by the job's path
    int unanswered_ = 0;                             ///< calls in flight
    std::map<std::string, JobResult> early_results_; ///< of jobs that ended before the answer told their path
};

} // namespace capsul
