#include "daemon/operation_service.hpp"

#include "daemon/line_sender.hpp"
#include "daemon/problem.hpp"

#include <algorithm>
#include <condition_variable>
#include <fmt/format.h>
#include <list>
#include <optional>
#include <set>
#include <thread>

namespace capsul {
namespace {

constexpr std::size_t max_threads = 128;
constexpr std::size_t max_aside = 64; ///< of the threads, for work of the empty queue
constexpr std::size_t max_waiting = 1'000;
constexpr std::size_t max_waiting_in_queue = 200;
constexpr std::size_t max_finished = 1'000;
constexpr std::size_t max_results = std::size_t{32} << 20U; ///< bytes, of all finished ones together

} // namespace

class OperationService::State {
  public:
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { stop(); }

    void stop() {
        std::vector<std::thread> threads;
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
            cancel_waiting();
            changed_.notify_all();
            threads = std::move(threads_);
        }
        for (std::thread& thread : threads) {
            thread.join();
        }
    }

    Operation submit(const std::string& kind, const std::string& target, const std::string& queue,
                     Work work) {
        auto entry = std::make_shared<Entry>();
        entry->operation.id = Uuid::make();
        entry->operation.kind = kind;
        entry->operation.target = target;
        entry->operation.created = Timestamp::now();

        const std::lock_guard lock(mutex_);
        if (stopping_) {
            throw Error(ErrorCode::unreachable, "capsuld is stopping");
        }
        check_room(queue);
        waiting_.push_back({entry, queue, std::move(work)});
        make_thread();
        entries_.push_back(entry);
        changed_.notify_all();
        return entry->operation;
    }

    std::vector<Operation> list() const {
        const std::lock_guard lock(mutex_);
        std::vector<Operation> all;
        for (const auto& entry : entries_) {
            all.push_back(entry->operation);
            all.back().result.reset();
        }
        return all;
    }

    Operation show(const Uuid& id) const {
        const std::lock_guard lock(mutex_);
        return find(id)->operation;
    }

    StreamResponse follow(const Uuid& id) {
        const std::lock_guard lock(mutex_);
        const auto entry = find(id);
        LineSender::Opened opened = sender_.open();
        sender_.send(*opened.reader, line_of(entry->operation));
        if (entry->operation.finished()) {
            sender_.end(*opened.reader);
        } else {
            entry->followers.push_back(std::move(opened.reader));
        }
        return {"application/x-ndjson", std::move(opened.source), nullptr};
    }

  private:
    struct Entry {
        Operation operation;
        std::size_t result_size = 0; ///< bytes, as JSON
        std::vector<std::shared_ptr<LineSender::Reader>> followers;
    };
    struct Task {
        std::shared_ptr<Entry> entry;
        std::string queue;
        Work work;
    };

    static LineSender::Line line_of(const Operation& operation) {
        return std::make_shared<const std::string>(dump_json(encode(operation)) + "\n");
    }

    [[nodiscard]] std::shared_ptr<Entry> find(const Uuid& id) const {
        const auto found =
            std::ranges::find(entries_, id, [](const auto& entry) { return entry->operation.id; });
        if (found == entries_.end()) {
            throw Error(ErrorCode::not_found, "there is no operation " + id.to_string(),
                        "finished operations are forgotten after a while, and when capsuld restarts");
        }
        return *found;
    }

    void check_room(const std::string& queue) const {
        const auto in_queue = std::ranges::count(
            waiting_, queue, [](const Task& task) -> const std::string& { return task.queue; });
        if (waiting_.size() >= max_waiting || static_cast<std::size_t>(in_queue) >= max_waiting_in_queue) {
            throw Error(ErrorCode::busy, fmt::format("{} operations wait already", in_queue),
                        "wait for some of them: capsulctl operation list");
        }
    }

    /// One more thread when there is more work than idle threads. Under the lock, as all below.
    void make_thread() {
        if (threads_.size() >= max_threads || idle_ >= waiting_.size()) {
            return;
        }
        try {
            threads_.emplace_back([this] { run_tasks(); });
        } catch (const std::system_error&) { // a limit on tasks: the threads there are do the work
            if (threads_.empty()) {
                waiting_.pop_back();
                throw Error(ErrorCode::busy, "no thread can be started",
                            "is TasksMax= of capsuld.service too low?");
            }
        }
    }

    void run_tasks() {
        std::unique_lock lock(mutex_);
        while (true) {
            const auto next =
                std::ranges::find_if(waiting_, [this](const Task& task) { return has_turn(task); });
            if (next != waiting_.end()) {
                Task task = std::move(*next);
                waiting_.erase(next);
                run(std::move(task), lock);
            } else if (stopping_) {
                return;
            } else {
                ++idle_;
                changed_.wait(lock);
                --idle_;
            }
        }
    }

    [[nodiscard]] bool has_turn(const Task& task) const {
        return task.queue.empty() ? aside_ < max_aside : !busy_queues_.contains(task.queue);
    }

    void run(Task task, std::unique_lock<std::mutex>& lock) {
        if (task.queue.empty()) {
            ++aside_;
        } else {
            busy_queues_.insert(task.queue);
        }
        change(*task.entry, [](Operation& operation) { operation.state = OperationState::running; });
        lock.unlock();
        std::optional<Json> result;
        std::optional<Problem> problem;
        perform(task, result, problem);
        task.work = nullptr; // what it holds is free before anyone reads "done"
        lock.lock();
        finish(*task.entry, std::move(result), std::move(problem));
        aside_ -= task.queue.empty() ? 1U : 0U;
        busy_queues_.erase(task.queue);
        changed_.notify_all();
    }

    void perform(const Task& task, std::optional<Json>& result, std::optional<Problem>& problem) {
        try {
            Progress progress = progress_of(*task.entry);
            result = task.work(progress);
        } catch (...) {
            problem = problem_of_current_exception("operation");
        }
    }

    Progress progress_of(Entry& entry) {
        return {[this, &entry](const std::string& text) { set(entry, &Operation::message, text); },
                [this, &entry](int value) {
                    set(entry, &Operation::percent, std::optional(std::clamp(value, 0, 100)));
                },
                stopping_};
    }

    /// Work may say the same many times: only what is new is told. Takes the lock.
    template <class Value>
    void set(Entry& entry, Value Operation::*member, const Value& value) {
        const std::lock_guard lock(mutex_);
        if (entry.operation.*member != value) {
            change(entry, [&](Operation& operation) { operation.*member = value; });
        }
    }

    void finish(Entry& entry, std::optional<Json> result, std::optional<Problem> problem) {
        entry.result_size = result ? dump_json(*result).size() : 0;
        change(entry, [&](Operation& operation) {
            operation.state = problem ? OperationState::failed : OperationState::done;
            operation.message.clear();
            operation.result = std::move(result);
            operation.error = std::move(problem);
        });
        for (const auto& follower : entry.followers) {
            sender_.end(*follower);
        }
        entry.followers.clear();
        ++finished_;
        results_ += entry.result_size;
        while (finished_ > 1 && (finished_ > max_finished || results_ > max_results)) {
            forget_oldest();
        }
    }

    /// Makes a change and tells the followers; one that does not read is dropped.
    template <class Change>
    void change(Entry& entry, const Change& make) {
        make(entry.operation);
        if (entry.followers.empty()) {
            return;
        }
        const LineSender::Line line = line_of(entry.operation);
        std::erase_if(entry.followers, [&](const auto& follower) {
            const LineSender::Sent sent = sender_.send(*follower, line);
            if (sent == LineSender::Sent::too_far_behind) {
                sender_.end(*follower);
            }
            return sent != LineSender::Sent::yes;
        });
    }

    void forget_oldest() {
        const auto oldest =
            std::ranges::find_if(entries_, [](const auto& entry) { return entry->operation.finished(); });
        results_ -= (*oldest)->result_size;
        entries_.erase(oldest);
        --finished_;
    }

    void cancel_waiting() {
        for (const Task& task : waiting_) {
            finish(*task.entry, std::nullopt,
                   Problem::from(Error(ErrorCode::unreachable, "capsuld is stopping")));
        }
        waiting_.clear();
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::list<std::shared_ptr<Entry>> entries_; ///< oldest first
    std::size_t finished_ = 0;                  ///< of the entries
    std::size_t results_ = 0;                   ///< bytes of their results
    std::list<Task> waiting_;
    std::set<std::string> busy_queues_;
    std::size_t aside_ = 0; ///< running work of the empty queue
    std::atomic<bool> stopping_ = false;
    LineSender sender_;
    std::size_t idle_ = 0;
    std::vector<std::thread> threads_;
};

OperationService::OperationService() : state_(std::make_shared<State>()) {}
OperationService::~OperationService() = default;

Operation OperationService::submit(const std::string& kind, const std::string& target,
                                   const std::string& queue, Work work) {
    return state_->submit(kind, target, queue, std::move(work));
}

void OperationService::stop() {
    state_->stop();
}
std::vector<Operation> OperationService::list() const {
    return state_->list();
}
Operation OperationService::show(const Uuid& id) const {
    return state_->show(id);
}
StreamResponse OperationService::follow(const Uuid& id) {
    return state_->follow(id);
}

} // namespace capsul
