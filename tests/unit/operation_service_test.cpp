#include "daemon/operation_service.hpp"

#include <array>
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
        if (!std::exchange(is_open_, true)) {
            promise_.set_value();
        }
    }
    [[nodiscard]] OperationService::Work work() {
        return [this](Progress&) {
            ++reached_;
            reached_.notify_all();
            future_.wait();
            return Json::object();
        };
    }
    void wait_until_reached(int count) {
        for (int now = reached_; now < count; now = reached_) {
            reached_.wait(now);
        }
    }
    [[nodiscard]] int reached() const { return reached_; }

  private:
    std::promise<void> promise_;
    std::shared_future<void> future_ = promise_.get_future().share();
    std::atomic<int> reached_ = 0;
    bool is_open_ = false;
};

std::vector<Operation> follow(OperationService& service, const Uuid& id) {
    const StreamResponse stream = service.follow(id);
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

TEST(OperationService, RunsSixtyFourAtOnceAndRefusesTheThousandAndFirstThatWaits) {
    OperationService service;
    Gate gate;
    for (int i = 0; i < 64; ++i) {
        service.submit("n", "x", "", gate.work());
    }
    gate.wait_until_reached(64);
    for (int i = 0; i < 1'000; ++i) {
        EXPECT_EQ(service.submit("n", "x", "", nothing).state, OperationState::queued);
    }
    try {
        service.submit("n", "x", "", nothing);
        ADD_FAILURE() << "was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::busy);
    }
    EXPECT_EQ(gate.reached(), 64);
}

TEST(OperationService, StreamsEachChangeOnce) {
    OperationService service;
    Gate gate;
    const Operation operation = service.submit("n", "x", "q", [&gate](Progress& progress) {
        gate.work()(progress);
        for (int i = 0; i < 3; ++i) {
            progress.message("copying");
            progress.percent(50);
        }
        progress.percent(150);
        return Json("ok");
    });
    gate.wait_until_reached(1);
    std::future<std::vector<Operation>> lines =
        std::async(std::launch::async, [&] { return follow(service, operation.id); });
    // A follower that comes late sees only the end: so wait for the first one to be there by a second.
    while (service.show(operation.id).state != OperationState::running) {
        std::this_thread::yield();
    }
    gate.open();
    const std::vector<Operation> seen = lines.get();
    EXPECT_EQ(seen.back().state, OperationState::done);
    EXPECT_EQ(seen.back().percent, 100);
    EXPECT_EQ(seen.back().result, Json("ok"));
    EXPECT_LE(seen.size(), 5U) << "running, message, 50, 100, done";
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
    const Operation operation = service.submit("n", "x", "", [&gate](Progress& progress) {
        gate.work()(progress);
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
        if (i % 500 == 0) {
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
