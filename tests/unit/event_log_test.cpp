#include "daemon/event_log.hpp"
#include "tests/temporary_folder.hpp"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

class EventLogTest : public testing::Test {
  protected:
    [[nodiscard]] std::filesystem::path file() const { return folder_ / "events.ndjson"; }
    [[nodiscard]] std::size_t lines_in_file() const {
        const std::string content = read_file(file(), std::size_t{64} << 20U);
        return static_cast<std::size_t>(std::ranges::count(content, '\n'));
    }

    test::TemporaryFolder temporary_;
    std::filesystem::path folder_ = temporary_.path();
};

/// Reads events one by one. The source does not block by itself: the server's does not either.
class Reader {
  public:
    explicit Reader(StreamResponse stream) : source_(std::move(stream.source)) {
        ::fcntl(source_.get(), F_SETFL, 0);
        const timeval limit{10, 0};
        ::setsockopt(source_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }

    /// Nothing at the end.
    std::optional<Event> next() {
        std::size_t end = 0;
        while ((end = text_.find('\n')) == std::string::npos) {
            std::array<char, 65'536> piece{};
            const ssize_t got = ::read(source_.get(), piece.data(), piece.size());
            if (got <= 0) {
                EXPECT_EQ(got, 0) << "the stream is silent";
                EXPECT_EQ(text_, "") << "the last line is cut off";
                return std::nullopt;
            }
            text_.append(piece.data(), static_cast<std::size_t>(got));
        }
        const auto event = parse<Event>(text_.substr(0, end));
        text_.erase(0, end + 1);
        return event;
    }

    std::vector<Event> rest() {
        std::vector<Event> events;
        for (auto event = next(); event; event = next()) {
            events.push_back(*event);
        }
        return events;
    }

  private:
    UniqueFd source_;
    std::string text_;
};

std::vector<Event> all(EventLog& log, std::optional<std::uint64_t> since = {}) {
    return Reader(log.stream({since, false})).rest();
}

void add_many(EventLog& log, int count) {
    for (int i = 0; i < count; ++i) {
        log.add("vm.started", "web");
    }
}

TEST_F(EventLogTest, TellsWhatHappened) {
    EventLog log(folder_);
    log.add("vm.started", "web", {{"pid", 3}});
    log.add("vm.stopped", "db");
    const std::vector<Event> events = all(log);
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].id, 1U);
    EXPECT_EQ(events[0].type, "vm.started");
    EXPECT_EQ(events[0].target, "web");
    EXPECT_EQ(events[0].data, Json({{"pid", 3}}));
    EXPECT_EQ(events[1].id, 2U);
}

TEST_F(EventLogTest, TellsOnlyWhatCameAfter) {
    EventLog log(folder_);
    add_many(log, 5);
    EXPECT_EQ(all(log, 3).front().id, 4U);
    EXPECT_TRUE(all(log, 5).empty());
    EXPECT_TRUE(all(log, ~std::uint64_t{0}).empty());
    EXPECT_EQ(all(log, 0).size(), 5U);
}

TEST_F(EventLogTest, TellsFollowersWhatHappensNow) {
    EventLog log(folder_);
    log.add("vm.started", "web");
    Reader reader(log.stream({0, true}));
    EXPECT_EQ(reader.next()->id, 1U);
    log.add("vm.stopped", "web");
    EXPECT_EQ(reader.next()->type, "vm.stopped");
    Reader only_new(log.stream({1'000'000, true}));
    log.add("vm.deleted", "web");
    EXPECT_EQ(only_new.next()->type, "vm.deleted");
}

TEST_F(EventLogTest, GoesOnCountingAfterARestart) {
    {
        EventLog log(folder_);
        add_many(log, 3);
    }
    EventLog log(folder_);
    log.add("vm.stopped", "web");
    EXPECT_EQ(all(log).size(), 4U);
    EXPECT_EQ(all(log).back().id, 4U);
}

TEST_F(EventLogTest, ToleratesALineCutOffByACrash) {
    {
        EventLog log(folder_);
        add_many(log, 3);
    }
    std::filesystem::resize_file(file(), std::filesystem::file_size(file()) - 5);
    {
        EventLog log(folder_);
        EXPECT_EQ(all(log).size(), 2U);
        log.add("vm.stopped", "web");
    }
    EventLog log(folder_);
    EXPECT_EQ(all(log).back().type, "vm.stopped");
    EXPECT_EQ(all(log).back().id, 3U);
}

TEST_F(EventLogTest, ToleratesAFileOfGarbage) {
    const UniqueFd garbage = open_file(file(), O_WRONLY | O_CREAT);
    write_all(garbage.get(), std::string(5'000, '\0') + "\n{}\n[\n", "garbage");
    {
        EventLog log(folder_);
        EXPECT_TRUE(all(log).empty());
        log.add("vm.started", "web");
    }
    EventLog log(folder_);
    EXPECT_EQ(all(log).size(), 1U);
}

TEST_F(EventLogTest, KeepsTheNewestAndTellsOfTheGap) {
    EventLog log(folder_);
    add_many(log, 8'001);
    EXPECT_EQ(lines_in_file(), 4'000U);
    const std::vector<Event> events = all(log, 10);
    ASSERT_EQ(events.size(), 4'001U);
    EXPECT_EQ(events[0].type, "gap");
    EXPECT_EQ(events[0].id, 4'001U);
    EXPECT_EQ(events[1].id, 4'002U);
    EXPECT_EQ(events.back().id, 8'001U);
    EXPECT_EQ(all(log, 4'001).front().type, "vm.started");
    EXPECT_EQ(all(log).front().type, "vm.started") << "who asks for what is kept misses nothing";
}

TEST_F(EventLogTest, NeverFailsTheCallerWhenTheFileCannotBeWritten) {
    std::filesystem::create_directory(file());
    EventLog log(folder_);
    log.add("vm.started", "web");
    EXPECT_EQ(all(log).size(), 1U);
    std::filesystem::remove(file());
    log.add("vm.stopped", "web");
    EXPECT_EQ(lines_in_file(), 2U);
}

TEST_F(EventLogTest, DropsAFollowerThatDoesNotReadWithAGapWhereItCanResume) {
    EventLog log(folder_);
    Reader reader(log.stream({0, true}));
    add_many(log, 15'000);
    const std::vector<Event> events = reader.rest();
    ASSERT_GE(events.size(), 2U);
    ASSERT_LT(events.size(), 15'000U);
    EXPECT_EQ(events.back().type, "gap");
    EXPECT_EQ(events.back().id, events.size() - 1) << "the id of the last event that was read";
    log.add("vm.stopped", "web");
}

TEST_F(EventLogTest, ForgetsAFollowerThatIsGone) {
    EventLog log(folder_);
    { Reader reader(log.stream({0, true})); }
    add_many(log, 10);
    EXPECT_EQ(all(log).size(), 10U);
}

TEST_F(EventLogTest, EndsItsStreamsWhenItEnds) {
    auto log = std::make_unique<EventLog>(folder_);
    Reader reader(log->stream({0, true}));
    log.reset();
    EXPECT_EQ(reader.next(), std::nullopt);
}

TEST_F(EventLogTest, KeepsOrderAcrossThreads) {
    EventLog log(folder_);
    Reader reader(log.stream({0, true}));
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&log] { add_many(log, 100); });
    }
    for (std::uint64_t id = 1; id <= 800; ++id) {
        const std::optional<Event> event = reader.next();
        ASSERT_TRUE(event);
        ASSERT_EQ(event->id, id);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

} // namespace
} // namespace capsul
