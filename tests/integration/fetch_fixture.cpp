#include "tests/integration/fetch_fixture.hpp"

#include "daemon/digest.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// Makes the folder first.
std::vector<std::string> server_command(const fs::path& root, const fs::path& log) {
    fs::create_directories(root);
    return {"/usr/bin/python3", "-B", CAPSUL_IMAGE_SERVER, "--root", root.string(), "--log", log.string()};
}

std::string first_line(int fd) {
    std::string line;
    for (char c = 0; ::read(fd, &c, 1) == 1 && c != '\n';) {
        line += c;
    }
    return line;
}

} // namespace

ImageServer::ImageServer(const fs::path& folder)
    : root_(folder / "served"), log_(folder / "server.log"), process_(server_command(root_, log_)) {
    const UniqueFd output = process_.take_output();
    port_ = first_line(output.get());
}

std::string ImageServer::address() const {
    return "http://127.0.0.1:" + port_;
}

Url ImageServer::url(const std::string& rest) const {
    return Url::parse(address() + "/" + rest);
}

void ImageServer::put(const std::string& name, std::string_view content) const {
    std::ofstream(root_ / name, std::ios::binary) << content;
}

std::vector<Json> ImageServer::log(std::size_t answers) const {
    std::vector<Json> lines;
    // It writes down what it has answered after the client has it.
    EXPECT_TRUE(comes_true([&] {
        lines.clear();
        std::istringstream text(fs::exists(log_) ? read_all(log_) : "");
        for (std::string line; std::getline(text, line) && !text.eof();) {
            lines.push_back(parse_json(line));
        }
        return lines.size() >= answers;
    }));
    return lines;
}

std::string random_bytes(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(count, '\0');
    std::ranges::generate(bytes, [&] { return static_cast<char>(random()); });
    return bytes;
}

std::string read_all(const fs::path& file) {
    std::ostringstream content;
    content << std::ifstream(file, std::ios::binary).rdbuf();
    return content.str();
}

std::string sha256_of(std::string_view data) {
    return sha256_hex(data);
}

bool comes_true(const std::function<bool()>& condition) {
    for (int i = 0; i < 30'000; ++i) { // half a minute, which is for tests that fail
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

FetchPatience impatience() {
    FetchPatience patience;
    patience.tries = 3;
    patience.first_wait = Duration(5ms);
    patience.longest_wait = Duration(20ms);
    patience.stall = Duration(1s);
    return patience;
}

FetchTest::FetchTest() : server_(temporary_.path()) {
    fs::create_directories(folder_);
}

DiskRequest FetchTest::request(const std::string& rest) const {
    DiskRequest request;
    request.url = server_.url(rest);
    request.max_size = Bytes::parse("64M");
    request.keep_free = 0;
    request.patience = impatience();
    return request;
}

fetch::DocumentRequest FetchTest::document(const std::string& id, const std::string& rest) const {
    fetch::DocumentRequest request;
    request.id = Name::parse(id);
    request.url = server_.url(rest);
    request.max_bytes = Bytes::parse("1M");
    return request;
}

void FetchTest::ask(const Json& request) const {
    replace_file(folder_ / fetch_request_file, dump_json(request));
}

std::vector<std::string> FetchTest::command(const char* what) const {
    return {CAPSUL_FETCH, what, "--folder", folder_.string()};
}

int FetchTest::fetch(const DiskRequest& request) {
    ask(encode(request));
    return run_process(command("disk"), 60s).status;
}

int FetchTest::fetch(const std::vector<fetch::DocumentRequest>& documents) {
    try {
        outcomes_ = capsul::fetch::fetch_documents(folder_, {documents, {}, impatience()});
        return 0;
    } catch (const Error& error) {
        refusal_ = error.what();
        return exit_code(error.code());
    }
}

DiskResult FetchTest::result() const {
    return parse<DiskResult>(read_file(folder_ / fetch_result_file));
}

std::string FetchTest::error() const {
    const auto error = result().error;
    return error ? error->code + ": " + error->message : "none";
}

std::vector<std::string> FetchTest::left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
        const std::string name = entry.path().filename();
        if (name != fetch_request_file && name != fetch_result_file) {
            names.push_back(name);
        }
    }
    std::ranges::sort(names);
    return names;
}

void FetchTest::expect_disk(std::string_view content) const {
    EXPECT_EQ(error(), "none");
    EXPECT_TRUE(read_all(folder_ / fetched_disk_file) == content);
    for (const std::string& name : left()) {
        EXPECT_TRUE(name == fetched_disk_file || name == "data.json" || name.starts_with("data.sig")) << name;
    }
}

std::uint64_t FetchTest::sent(std::size_t answers) const {
    std::uint64_t bytes = 0;
    for (const Json& answer : server_.log(answers)) {
        bytes += answer.at("sent").get<std::uint64_t>();
    }
    return bytes;
}

} // namespace capsul::test
