#include "daemon/systemd_jobs.hpp"

#include "daemon/systemd_call.hpp"

#include <charconv>

namespace capsul {

void SystemdJobs::queue(const JobPtr& job) {
    SystemdBus::Call call =
        systemd_call::manager(job->method, systemd_call::arguments("ss", job->unit, std::string(job->mode)));
    call.on_reply = [this, job](sd_bus_message* message) {
        accept(systemd_message::read_object_path(message), job);
    };
    call.on_failure = [this, job](const SystemdBus::Failure& failure) {
        --unanswered_;
        if (job->stops() && failure.name == systemd_call::no_such_unit) {
            job->result.set(JobResult::done); // what is not there does not run
        } else {
            job->result.fail(failure.error);
        }
    };
    ++unanswered_;
    bus_.call(std::move(call));
}

void SystemdJobs::accept(const std::string& path, const JobPtr& job) {
    --unanswered_;
    const auto early = early_results_.find(path);
    if (early != early_results_.end()) {
        job->result.set(early->second);
    } else {
        waiting_.emplace(path, job);
    }
    if (unanswered_ == 0) {
        early_results_.clear();
    }
}

void SystemdJobs::on_removed(const systemd_message::JobRemoved& removed) {
    const auto [first, last] = waiting_.equal_range(removed.path);
    for (auto waiting = first; waiting != last; ++waiting) {
        waiting->second->result.set(removed.result);
    }
    waiting_.erase(first, last);
    if (unanswered_ > 0) {
        early_results_.insert_or_assign(removed.path, removed.result);
    }
}

void SystemdJobs::recheck_all() {
    for (auto job = waiting_.begin(); job != waiting_.end(); job = waiting_.upper_bound(job->first)) {
        recheck(job->first);
    }
}

void SystemdJobs::recheck(const std::string& path) {
    std::uint32_t id = 0;
    const std::string digits = path.substr(path.rfind('/') + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), id);
    SystemdBus::Call call = systemd_call::manager("GetJob", systemd_call::arguments("u", id));
    call.on_reply = systemd_call::ignore_reply; // JobRemoved is still to come
    call.on_failure = [this, path](const SystemdBus::Failure&) { settle_lost(path); };
    bus_.call(std::move(call));
}

/// Its JobRemoved was missed: the unit's state tells how it ended.
void SystemdJobs::settle_lost(const std::string& path) {
    const auto [first, last] = waiting_.equal_range(path);
    for (auto waiting = first; waiting != last; ++waiting) {
        const JobPtr job = waiting->second;
        systemd_call::get_active_state(
            bus_, job->unit,
            [job](const std::string& state) {
                job->result.set(is_stopped(state) == job->stops() ? JobResult::done : JobResult::failed);
            },
            [job](const SystemdBus::Failure& failure) { job->result.fail(failure.error); });
    }
    waiting_.erase(first, last);
}

} // namespace capsul
