// Disks from a server that cuts, stalls, lies and sends on.
#include "tests/integration/fetch_fixture.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <sys/stat.h>
#include <thread>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::size_t mib = std::size_t{1} << 20U;

class FetchDisk : public FetchTest {
  protected:
    std::uint64_t part_size() const {
        std::error_code none;
        const auto size = fs::file_size(folder_ / "data.part", none);
        return none ? 0 : size;
    }
    /// Ends in the middle of `rest`, which has to be slow, with so many bytes at least.
    void leave_part(const std::string& rest, std::uint64_t bytes) {
        ask(encode(request(rest)));
        const ChildProcess killed(command("disk"));
        ASSERT_TRUE(comes_true([&] { return part_size() >= bytes; }));
    }
};

TEST_F(FetchDisk, TellsWhatItGot) {
    const std::string content = random_bytes(mib + 7);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw")), 0);
    expect_disk(content);
    const FetchedFile file = result().file.value();
    EXPECT_EQ(file.sha256, sha256_of(content));
    EXPECT_EQ(file.sha512.size(), 128U);
    EXPECT_EQ(file.size, content.size());
    EXPECT_EQ(file.fetched, content.size());
    EXPECT_EQ(file.url, server_.url("disk.raw").to_string());
    EXPECT_EQ(file.etag.size(), 18U);
    EXPECT_LE(Timestamp::now().value() - file.last_modified.value().value(), 60s);
    EXPECT_EQ(file.verified, Verification::none);
    EXPECT_FALSE(file.signer);
}

TEST_F(FetchDisk, ChecksDigestAndSize) {
    const std::string content = random_bytes(1000);
    server_.put("disk.raw", content);
    DiskRequest wanted = request("disk.raw");
    wanted.sha256 = Sha256::parse(sha256_of(content));
    wanted.size = 1000;
    EXPECT_EQ(fetch(wanted), 0);
    EXPECT_EQ(result().file.value().verified, Verification::checksum);
    wanted.sha512 = Sha512::parse(result().file.value().sha512);
    EXPECT_EQ(fetch(wanted), 0);
    expect_disk(content);
}

TEST_F(FetchDisk, LeavesNothingOfWhatIsNotWhatItShouldBe) {
    server_.put("disk.raw", random_bytes(1000));
    DiskRequest wanted = request("disk.raw");
    wanted.sha512 = Sha512::parse(std::string(128, 'A'));
    EXPECT_EQ(fetch(wanted), 10);
    EXPECT_TRUE(error().starts_with("verification: ")) << error();
    EXPECT_NE(error().find("its sha512 is "), std::string::npos) << error();
    EXPECT_EQ(left(), std::vector<std::string>{});
}

TEST_F(FetchDisk, RefusesAnotherSizeBeforeItIsFetched) {
    server_.put("disk.raw", random_bytes(mib));
    DiskRequest wanted = request("disk.raw?rate=100000");
    wanted.size = 1000;
    EXPECT_EQ(fetch(wanted), 10);
    EXPECT_NE(error().find("has 1048576 bytes, and not the 1000 that were announced"), std::string::npos);
    wanted = request("disk.raw");
    wanted.max_size = Bytes::parse("1000K");
    EXPECT_EQ(fetch(wanted), 2);
    EXPECT_TRUE(error().starts_with("too_large: ")) << error();
    EXPECT_EQ(left(), std::vector<std::string>{});
}

// Killed at twenty places that chance has chosen, and each time gone on with. It is sent slowly: what it had
// not read yet when it was killed counts as sent.
TEST_F(FetchDisk, GoesOnAfterKills) {
    const std::string content = random_bytes(16 * mib);
    server_.put("disk.raw", content);
    const unsigned seed = std::random_device()();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<std::size_t> places(20);
    std::ranges::generate(
        places, [&] { return std::uniform_int_distribution<std::size_t>(1, content.size() - mib)(random); });
    std::ranges::sort(places);
    DiskRequest wanted = request("disk.raw?rate=2500000");
    wanted.sha256 = Sha256::parse(sha256_of(content));
    ask(encode(wanted));
    for (const std::size_t place : places) {
        const ChildProcess killed(command("disk"));
        ASSERT_TRUE(comes_true([&] { return part_size() >= place; }));
    }
    EXPECT_EQ(fetch(wanted), 0);
    expect_disk(content);
    EXPECT_LE(sent(2), content.size() / 10 * 11);
    EXPECT_LT(result().file.value().fetched, content.size());
}

TEST_F(FetchDisk, GoesOnAfterCutsAndResetsByItself) {
    const std::string content = random_bytes(2 * mib);
    server_.put("disk.raw", content);
    for (const char* how : {"disk.raw?cut=100000&cuts=20", "disk.raw?cut=100000&cuts=20&reset=1"}) {
        EXPECT_EQ(fetch(request(how)), 0);
        expect_disk(content);
        EXPECT_LE(result().file.value().fetched, content.size() / 10 * 11);
    }
    // By the date alone.
    EXPECT_EQ(fetch(request("disk.raw?cut=1500000&cuts=1&etag=none")), 0);
    EXPECT_EQ(result().file.value().fetched, content.size());
    EXPECT_EQ(fetch(request("disk.raw?cut=1500000&cuts=1&etag=weak")), 0);
    EXPECT_EQ(result().file.value().fetched, content.size());
}

TEST_F(FetchDisk, GoesOnWithoutALength) {
    const std::string content = random_bytes(mib);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw?cut=100000&cuts=1&chunked=1")), 0);
    expect_disk(content);
    EXPECT_EQ(result().file.value().fetched, content.size());
    // Cut off at its very end, nobody has said that it is one.
    EXPECT_EQ(fetch(request("disk.raw?cut=1048576&cuts=1&chunked=1")), 0);
    expect_disk(content);
    EXPECT_EQ(server_.log(4)[3].at("status"), 416);
}

TEST_F(FetchDisk, BeginsAgainWhereNothingElseIsSafe) {
    const std::string content = random_bytes(mib);
    server_.put("disk.raw", content);
    for (const char* how :
         {"disk.raw?cut=900000&cuts=1&etag=none&modified=no",
          "disk.raw?cut=900000&cuts=1&etag=weak&modified=no", "disk.raw?cut=900000&cuts=1&ranges=no",
          "disk.raw?cut=900000&cuts=1&etag=new", "disk.raw?cut=900000&cuts=1&range_shift=5"}) {
        SCOPED_TRACE(how);
        EXPECT_EQ(fetch(request(how)), 0);
        expect_disk(content);
        EXPECT_GE(result().file.value().fetched, content.size() + 900000);
    }
}

TEST_F(FetchDisk, BeginsAgainWhenTheFileHasChanged) {
    for (const char* name : {"disk.raw?rate=5000000", "disk.raw?rate=5000000&ranges=ignore_if"}) {
        server_.put("disk.raw", random_bytes(2 * mib, 1));
        leave_part(name, mib);
        const std::string content = random_bytes(2 * mib, 2);
        server_.put("disk.raw", content);
        fs::last_write_time(temporary_ / "served" / "disk.raw", fs::file_time_type::clock::now() + 1h);
        EXPECT_EQ(fetch(request(name)), 0);
        expect_disk(content);
    }
}

TEST_F(FetchDisk, BeginsAgainWhenWhatWasLeftIsAtFault) {
    const std::string content = random_bytes(2 * mib);
    server_.put("disk.raw", content);
    leave_part("disk.raw?rate=5000000", mib);
    {
        std::fstream part(folder_ / "data.part", std::ios::in | std::ios::out | std::ios::binary);
        part.seekp(1000);
        part << "damaged";
    }
    DiskRequest wanted = request("disk.raw?rate=5000000");
    wanted.sha256 = Sha256::parse(sha256_of(content));
    EXPECT_EQ(fetch(wanted), 0);
    expect_disk(content);
}

TEST_F(FetchDisk, FinishesWhatWasWholeWithoutAsking) {
    const std::string content = random_bytes(1000);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw")), 0);
    EXPECT_EQ(fetch(request("disk.raw")), 0); // its disk was not used
    expect_disk(content);
    EXPECT_EQ(result().file.value().fetched, 0U);
    EXPECT_EQ(server_.log(1).size(), 1U);
}

// As when capsuld was killed before it could forget the download of an image.
TEST_F(FetchDisk, DoesNotTouchADiskThatIsAnImages) {
    const std::string content = random_bytes(mib);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw")), 0);
    const fs::path image = temporary_ / "image";
    fs::create_hard_link(folder_ / fetched_disk_file, image);
    fs::permissions(image, fs::perms::owner_read);
    EXPECT_EQ(fetch(request("disk.raw")), 0);
    expect_disk(content);
    EXPECT_EQ(result().file.value().fetched, content.size());
    EXPECT_EQ(fs::hard_link_count(image), 1U);
    EXPECT_EQ(fs::status(image).permissions(), fs::perms::owner_read);
    EXPECT_TRUE(read_all(image) == content);
}

TEST_F(FetchDisk, GoesOnWhenAServerStalls) {
    const std::string content = random_bytes(mib);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw?stall=500000&cuts=1")), 0);
    expect_disk(content);
    EXPECT_EQ(result().file.value().fetched, content.size());
    EXPECT_EQ(fetch(request("disk.raw?stall=0")), 5);
    EXPECT_TRUE(error().starts_with("timeout: ")) << error();
    EXPECT_NE(error().find("(tried 3 times)"), std::string::npos) << error();
}

TEST_F(FetchDisk, IsNotTakenInByAWrongLength) {
    const std::string content = random_bytes(mib);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("disk.raw?length=2000000")), 6);
    EXPECT_TRUE(error().starts_with("unreachable: ")) << error();
    DiskRequest wanted = request("disk.raw?length=1000000");
    wanted.sha256 = Sha256::parse(sha256_of(content));
    EXPECT_EQ(fetch(wanted), 10);
    wanted = request("disk.raw?chunked=1");
    wanted.size = content.size() - 1;
    EXPECT_EQ(fetch(wanted), 10);
    EXPECT_EQ(fetch(request("disk.raw?extra=100")), 0);
    expect_disk(content);
    EXPECT_EQ(fetch(request("disk.raw?length=4611686018427387904")), 2);
}

TEST_F(FetchDisk, EndsWhatHasNoEnd) {
    EXPECT_EQ(fetch(request("disk.raw?endless=1")), 2);
    EXPECT_TRUE(error().starts_with("too_large: ")) << error();
    EXPECT_EQ(left(), std::vector<std::string>{});
    EXPECT_LE(sent(1), 80 * mib);
}

TEST_F(FetchDisk, KnowsAWebPage) {
    server_.put("page", "  \n<!DOCTYPE html><html><body>Please log in</body></html>");
    for (const char* how : {"page", "page?type=text/html;%20charset=utf-8"}) {
        EXPECT_EQ(fetch(request(how)), 10);
        EXPECT_NE(error().find("is a web page"), std::string::npos) << error();
        EXPECT_EQ(left(), std::vector<std::string>{});
    }
}

TEST_F(FetchDisk, TriesAgainOnlyWhatMayPass) {
    const std::string content = random_bytes(1000);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("none.raw")), 3);
    EXPECT_TRUE(error().starts_with("not_found: ")) << error();
    EXPECT_EQ(fetch(request("disk.raw?status=403")), 7);
    EXPECT_EQ(server_.log(2).size(), 2U);
    EXPECT_EQ(fetch(request("disk.raw?status=503&statuses=2&retry_after=3600")), 0);
    EXPECT_EQ(server_.log(5).size(), 5U);
    expect_disk(content);
    EXPECT_EQ(fetch(request("disk.raw?status=502")), 6);
    EXPECT_EQ(server_.log(8).size(), 8U);
}

TEST_F(FetchDisk, FollowsOnlyToTheNetworkAndNotForEver) {
    const std::string content = random_bytes(1000);
    server_.put("disk.raw", content);
    EXPECT_EQ(fetch(request("a?redirect=/disk.raw%3Ftoken%3Dsecret")), 0);
    expect_disk(content);
    EXPECT_EQ(result().file.value().url, server_.url("disk.raw?token=secret").to_string());
    EXPECT_EQ(fetch(request("a?redirect=file:///etc/passwd")), 6);
    EXPECT_NE(error().find("leads to a file of this host"), std::string::npos) << error();
    EXPECT_EQ(fetch(request("a?redirect=ftp://127.0.0.1/x")), 6);
    EXPECT_NE(error().find("does not begin with https://"), std::string::npos) << error();
    EXPECT_EQ(fetch(request("a?loop=1")), 6);
    EXPECT_NE(error().find("leads on and on"), std::string::npos) << error();
    EXPECT_EQ(server_.log(15).size(), 15U);
    EXPECT_EQ(left(), (std::vector<std::string>{"data.json", "data.part"}));
}

TEST_F(FetchDisk, DoesNotFillTheDisk) {
    server_.put("disk.raw", random_bytes(1000));
    DiskRequest wanted = request("disk.raw");
    wanted.keep_free = std::uint64_t{1} << 60U;
    EXPECT_EQ(fetch(wanted), 125);
    EXPECT_TRUE(error().starts_with("no_space: ")) << error();
    wanted.url = server_.url("disk.raw?endless=1"); // known only while it is written
    EXPECT_EQ(fetch(wanted), 125);
    EXPECT_LE(sent(2), 32 * mib);
}

TEST_F(FetchDisk, NeedsNoRoomBesideThePartThatGoes) {
    constexpr std::uint64_t announced = 256 * mib; // next to nothing of it is sent, or takes room
    server_.put("disk.raw", random_bytes(1000));
    DiskRequest wanted = request("disk.raw?ranges=no&length=" + std::to_string(announced));
    wanted.max_size = Bytes(announced);
    wanted.patience.tries = 1;
    EXPECT_EQ(fetch(wanted), 6);
    fs::resize_file(folder_ / "data.part", announced - 1);
    wanted.keep_free = fs::space(folder_).available - announced / 4 * 3;
    EXPECT_EQ(fetch(wanted), 6) << error();
}

TEST_F(FetchDisk, TakesAFileOfThisHost) {
    const std::string content = random_bytes(mib);
    const fs::path file = temporary_ / "a disk%.raw";
    std::ofstream(file, std::ios::binary) << content;
    DiskRequest wanted = request("");
    wanted.url = Url::parse("file://" + temporary_.path().string() + "/a%20disk%25.raw");
    EXPECT_EQ(fetch(wanted), 0);
    expect_disk(content);
    fs::remove(file);
    fs::remove(folder_ / fetched_disk_file); // it was used
    EXPECT_EQ(fetch(wanted), 3);
    ::mkfifo(file.c_str(), 0600);
    EXPECT_EQ(fetch(wanted), 2);
    EXPECT_NE(error().find("is not a regular file"), std::string::npos) << error();
    wanted.url = Url::parse("file:///dev/zero");
    EXPECT_EQ(fetch(wanted), 2);
}

TEST_F(FetchDisk, AsksAProxy) {
    const std::string content = random_bytes(1000);
    server_.put("disk.raw", content);
    DiskRequest wanted = request("");
    wanted.url = Url::parse("http://nowhere.invalid/disk.raw");
    wanted.proxy = server_.address();
    EXPECT_EQ(fetch(wanted), 0);
    expect_disk(content);
    wanted.proxy.reset();
    ask(encode(wanted));
    std::vector<std::string> words = command("disk");
    words.insert(words.begin(), {"/usr/bin/env", "http_proxy=" + server_.address()});
    EXPECT_EQ(run_process(words, 60s).status, 0);
    fs::remove(folder_ / fetched_disk_file); // it was used
    wanted.proxy = "";
    wanted.patience.tries = 1;
    ask(encode(wanted));
    EXPECT_EQ(run_process(words, 60s).status, 6);
    EXPECT_NE(error().find("nowhere.invalid"), std::string::npos) << error();
}

TEST_F(FetchDisk, OneProcessAtATime) {
    server_.put("disk.raw", random_bytes(mib));
    ask(encode(request("disk.raw?stall=1000")));
    const ChildProcess first(command("disk"));
    ASSERT_TRUE(comes_true([&] { return part_size() >= 1000; }));
    const ProcessResult second = run_process(command("disk"), 60s);
    EXPECT_EQ(second.status, 4);
    EXPECT_NE(second.err.find("another process downloads into it"), std::string::npos);
    EXPECT_FALSE(fs::exists(folder_ / fetch_result_file));
}

TEST_F(FetchDisk, TellsHowFarItIs) {
    server_.put("disk.raw", random_bytes(4 * mib));
    ask(encode(request("disk.raw?rate=2000000")));
    const ChildProcess process(command("disk"));
    FetchProgress seen;
    ASSERT_TRUE(comes_true([&] {
        const std::string text = read_all(folder_ / fetch_progress_file);
        seen = text.empty() ? seen : parse<FetchProgress>(text);
        return seen.bytes > mib;
    }));
    EXPECT_EQ(seen.phase, FetchPhase::downloading);
    EXPECT_EQ(seen.total, 4 * mib);
    EXPECT_EQ(seen.attempt, 1);
    ASSERT_TRUE(comes_true([&] { return fs::exists(folder_ / fetch_result_file); }));
    EXPECT_FALSE(fs::exists(folder_ / fetch_progress_file));
}

TEST_F(FetchDisk, RefusesAWrongRequest) {
    Json wrong = encode(request("disk.raw"));
    wrong["surprise"] = 1;
    ask(wrong);
    EXPECT_EQ(run_process(command("disk"), 60s).status, 2);
    EXPECT_EQ(error(), "invalid: surprise: unknown key");
    DiskRequest impatient = request("disk.raw");
    impatient.patience.tries = 0;
    EXPECT_EQ(fetch(impatient), 2);
    EXPECT_EQ(run_process({CAPSUL_FETCH, "disk"}, 60s).status, 2);
    EXPECT_EQ(run_process({CAPSUL_FETCH, "disk", "--folder", "relative"}, 60s).status, 2);
    EXPECT_EQ(run_process({CAPSUL_FETCH, "disk", "--folder", "/nowhere"}, 60s).status, 3);
}

} // namespace
} // namespace capsul::test
