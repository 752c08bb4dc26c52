#include "daemon/operation_service.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <fcntl.h>
#include <fmt/format.h>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

Json nothing(Progress&) {
    return Json::object();
}

/// Holds work back until it is opened.
class Gate {
  public:
    Gate() = default;
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate() { open(); }
    void open() {
        state_->is_open = true;
        state_->is_open.notify_all();
    }
    [[nodiscard]] OperationService::Work work() {
        return [state = state_](Progress&) {
            ++state->reached;
            state->reached.notify_all();
            state->is_open.wait(false);
            return Json::object();
        };
    }
    void wait_until_reached(int count) {
        for (int now = reached(); now < count; now = reached()) {
            state_->reached.wait(now);
        }
    }
    [[nodiscard]] int reached() const { return state_->reached; }

  private:
    struct State {
        std::atomic<bool> is_open = false;
        std::atomic<int> reached = 0;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// The server does not block on a source; here it is simpler to.
std::vector<Operation> read_all(const StreamResponse& stream) {
    ::fcntl(stream.source.get(), F_SETFL, 0);
    std::string text;
    std::array<char, 65'536> piece{};
    for (ssize_t got = 0; (got = ::read(stream.source.get(), piece.data(), piece.size())) > 0;) {
        text.append(piece.data(), static_cast<std::size_t>(got));
    }
    std::vector<Operation> lines;
    for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
        lines.push_back(parse<Operation>(text.substr(begin, text.find('\n', begin) - begin)));
    }
    return lines;
}

std::vector<Operation> follow(OperationService& service, const Uuid& id) {
    return read_all(service.follow(id));
}

Operation end_of(OperationService& service, const Operation& operation) {
    return follow(service, operation.id).back();
}

TEST(OperationService, TellsTheResult) {
    OperationService service;
    const Operation begun = service.submit("vm.start", "web", "vm/web", [](Progress&) { return Json(17); });
    EXPECT_EQ(begun.kind, "vm.start");
    EXPECT_EQ(begun.target, "web");
    const Operation done = end_of(service, begun);
    EXPECT_EQ(done.state, OperationState::done);
    EXPECT_EQ(done.result, Json(17));
    EXPECT_EQ(service.show(begun.id).state, OperationState::done);
}

TEST(OperationService, TellsTheErrorAndHidesTheUnexpectedOne) {
    OperationService service;
    const Operation failed = end_of(service, service.submit("a", "b", "", [](Progress&) -> Json {
        throw Error(ErrorCode::no_space, "the disk is full", "make room");
    }));
    EXPECT_EQ(failed.state, OperationState::failed);
    EXPECT_EQ(failed.error->code, "no_space");
    EXPECT_EQ(failed.error->hint, "make room");
    const Operation crashed = end_of(
        service, service.submit("a", "b", "", [](Progress&) -> Json { throw std::runtime_error("secret"); }));
    EXPECT_EQ(crashed.error->code, "internal");
    EXPECT_EQ(crashed.error->title.find("secret"), std::string::npos);
}

TEST(OperationService, RunsTheWorkOfOneQueueInOrder) {
    OperationService service;
    std::mutex mutex;
    std::vector<int> order;
    std::atomic<int> at_once = 0;
    Operation last;
    for (int i = 0; i < 200; ++i) {
        last = service.submit("n", "web", "vm/web", [&, i](Progress&) {
            EXPECT_EQ(++at_once, 1);
            const std::lock_guard lock(mutex);
            order.push_back(i);
            --at_once;
            return Json::object();
        });
    }
    end_of(service, last);
    ASSERT_EQ(order.size(), 200U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(OperationService, RunsOtherQueuesMeanwhile) {
    OperationService service;
    Gate gate;
    service.submit("n", "web", "vm/web", gate.work());
    service.submit("n", "web", "vm/web", gate.work());
    gate.wait_until_reached(1);
    EXPECT_EQ(end_of(service, service.submit("n", "db", "vm/db", nothing)).state, OperationState::done);
    EXPECT_EQ(end_of(service, service.submit("n", "any", "", nothing)).state, OperationState::done);
    EXPECT_EQ(gate.reached(), 1);
}

ErrorCode refusal(OperationService& service, const std::string& queue) {
    try {
        service.submit("n", "x", queue, nothing);
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "was taken";
    return ErrorCode::internal;
}

TEST(OperationService, WorkAsideLeavesRoomForTheRest) {
    OperationService service;
    Gate gate;
    for (int i = 0; i < 64; ++i) {
        service.submit("n", "x", "", gate.work());
    }
    gate.wait_until_reached(64);
    for (int i = 0; i < 200; ++i) {
        EXPECT_EQ(service.submit("n", "x", "", nothing).state, OperationState::queued);
    }
    EXPECT_EQ(refusal(service, ""), ErrorCode::busy);
    EXPECT_EQ(end_of(service, service.submit("n", "web", "vm/web", nothing)).state, OperationState::done);
    EXPECT_EQ(gate.reached(), 64);
}

TEST(OperationService, OneQueueDoesNotFillAllThatMayWait) {
    OperationService service;
    Gate gate;
    service.submit("n", "web", "vm/web", gate.work());
    gate.wait_until_reached(1);
    for (int i = 0; i < 200; ++i) {
        service.submit("n", "web", "vm/web", nothing);
    }
    EXPECT_EQ(refusal(service, "vm/web"), ErrorCode::busy);
    service.submit("n", "db", "vm/db", nothing);
}

TEST(OperationService, KeepsNoMoreThanThirtyTwoMegabytesOfResults) {
    OperationService service;
    const Json megabyte = std::string(std::size_t{1} << 20U, 'x');
    for (int i = 0; i < 40; ++i) {
        end_of(service, service.submit("n", "x", "", [&](Progress&) { return megabyte; }));
    }
    const auto kept = service.list();
    EXPECT_EQ(kept.size(), 31U) << "with quotes, 32 are a little more";
    EXPECT_FALSE(kept.back().result) << "a list is without results";
    EXPECT_EQ(service.show(kept.back().id).result, megabyte);
}

TEST(OperationService, StopCancelsWhatWaitsAndTakesNoMore) {
    OperationService service;
    std::atomic<bool> begun = false;
    const Operation waiter = service.submit("n", "web", "vm/web", [&](Progress& progress) -> Json {
        begun = true;
        begun.notify_all();
        while (!progress.cancelled()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        throw Error(ErrorCode::unreachable, "stopping");
    });
    const Operation queued = service.submit("n", "web", "vm/web", nothing);
    begun.wait(false);
    service.stop();
    EXPECT_EQ(service.show(waiter.id).state, OperationState::failed);
    EXPECT_EQ(service.show(queued.id).state, OperationState::failed);
    EXPECT_EQ(refusal(service, "vm/web"), ErrorCode::unreachable);
}

TEST(OperationService, StreamsEachChangeOnce) {
    OperationService service;
    Gate gate;
    const Operation operation = service.submit("n", "x", "q", [work = gate.work()](Progress& progress) {
        work(progress);
        for (int i = 0; i < 3; ++i) {
            progress.message("copying");
            progress.percent(50);
        }
        progress.percent(150);
        return Json("ok");
    });
    gate.wait_until_reached(1);
    StreamResponse stream = service.follow(operation.id);
    gate.open();
    const std::vector<Operation> lines = read_all(stream);
    ASSERT_EQ(lines.size(), 5U);
    EXPECT_EQ(lines[0].state, OperationState::running);
    EXPECT_EQ(lines[1].message, "copying");
    EXPECT_EQ(lines[2].percent, 50);
    EXPECT_EQ(lines[3].percent, 100);
    EXPECT_EQ(lines[4].state, OperationState::done);
    EXPECT_EQ(lines[4].result, Json("ok"));
}

TEST(OperationService, FollowsAFinishedOneWithItsLastLine) {
    OperationService service;
    const Operation operation = service.submit("n", "x", "", nothing);
    end_of(service, operation);
    EXPECT_EQ(follow(service, operation.id).size(), 1U);
}

TEST(OperationService, NeverWaitsForAFollowerThatDoesNotRead) {
    OperationService service;
    Gate gate;
    const Operation operation = service.submit("n", "x", "", [work = gate.work()](Progress& progress) {
        work(progress);
        for (int i = 0; i < 30'000; ++i) {
            progress.message(fmt::format("step {}", i));
        }
        return Json::object();
    });
    const StreamResponse unread = service.follow(operation.id);
    gate.open();
    EXPECT_EQ(end_of(service, operation).state, OperationState::done);
}

TEST(OperationService, StreamsALongResultWhole) {
    OperationService service;
    const std::string text(5'000'000, 'x');
    const Operation operation = service.submit("n", "x", "", [&](Progress&) { return Json(text); });
    EXPECT_EQ(end_of(service, operation).result, Json(text));
}

TEST(OperationService, KeepsAThousandFinishedOnes) {
    OperationService service;
    const Operation first = service.submit("n", "x", "q", nothing);
    Operation last;
    for (int i = 0; i < 1'000; ++i) {
        last = service.submit("n", "x", "q", nothing);
        if (i % 100 == 0) {
            end_of(service, last);
        }
    }
    end_of(service, last);
    EXPECT_EQ(service.list().size(), 1'000U);
    EXPECT_EQ(service.list().back().id, last.id);
    EXPECT_THROW(static_cast<void>(service.show(first.id)), Error);
    EXPECT_THROW(static_cast<void>(service.follow(first.id)), Error);
}

TEST(OperationService, FreesWhatTheWorkHoldsBeforeItIsDone) {
    OperationService service;
    auto held = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = held;
    const Operation operation =
        service.submit("n", "x", "", [held = std::move(held)](Progress&) { return Json(*held); });
    end_of(service, operation);
    EXPECT_TRUE(watched.expired());
}

TEST(OperationService, EndsWhatOnlyWaitsWhenItStops) {
    auto service = std::make_unique<OperationService>();
    std::promise<void> begun;
    const Operation running = service->submit("n", "x", "q", [&](Progress& progress) -> Json {
        begun.set_value();
        while (!progress.cancelled()) {
            std::this_thread::yield();
        }
        throw Error(ErrorCode::unreachable, "capsuld is stopping");
    });
    begun.get_future().wait();
    std::atomic<bool> ran = false;
    service->submit("n", "x", "q", [&](Progress&) {
        ran = true;
        return Json::object();
    });
    service.reset();
    EXPECT_FALSE(ran);
}

} // namespace
} // namespace capsul
