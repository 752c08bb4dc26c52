#include "lib/config.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "lib/vm.hpp"
#include "tests/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

std::string decode_refusal(const std::string& text) {
    try {
        static_cast<void>(parse<VmCreate>(text));
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        return error.what();
    }
    return "(accepted)";
}

TEST(Parse, ReadsACallAndKeepsDefaults) {
    const auto call = parse<VmCreate>(R"({"name":"web","image":"debian-12","cpus":2,"labels":{"a":"b"}})");
    EXPECT_EQ(call.name, Name::parse("web"));
    EXPECT_EQ(call.cpus.number(), 2);
    EXPECT_EQ(call.memory, Bytes::parse("1G"));
    EXPECT_TRUE(call.start);
    EXPECT_EQ(call.labels.at("a"), "b");
}

TEST(Parse, NamesThePlaceOfAMistake) {
    EXPECT_EQ(decode_refusal(R"({"image":"i","cpu":1})"), "cpu: unknown key");
    EXPECT_EQ(decode_refusal(R"({"name":"web"})"), "'image' is missing");
    EXPECT_EQ(decode_refusal(R"({"image":5})"), "image: must be a string, not number");
    EXPECT_EQ(decode_refusal(R"({"image":"i","start":"yes"})"), "start: must be true or false, not string");
    EXPECT_TRUE(decode_refusal(R"({"image":"i","publish":["80:80","x"]})")
                    .starts_with("publish[1]: cannot publish 'x'"));
    EXPECT_TRUE(decode_refusal(R"({"image":"i","cpus":0})").starts_with("cpus: 0 is not a number of CPUs"));
    EXPECT_TRUE(decode_refusal(R"({"image":"i","cpus":1.5})").starts_with("cpus: must be a whole number"));
    EXPECT_TRUE(decode_refusal(R"({"image":"i","cpus":1e999})").starts_with("not JSON"));
    EXPECT_TRUE(decode_refusal(R"({"image":"i","cpus":9223372036854775808})")
                    .starts_with("cpus: 9223372036854775808"));
    EXPECT_TRUE(
        decode_refusal(R"({"image":"i","memory":"0"})").starts_with("memory: '0' is not a valid size"));
    EXPECT_EQ(decode_refusal(R"({"image":"i","user_data":"a\u0000b"})"), "user_data: must not hold a NUL");
    EXPECT_EQ(decode_refusal("[]"), "must be an object, not array");
}

TEST(ParseJson, RefusesWhatTheGrammarAllowsAndWeDoNot) {
    EXPECT_EQ(decode_refusal(R"({"image":"a","image":"b"})"), "JSON key 'image' stands twice");
    EXPECT_EQ(decode_refusal(std::string(100'000, '[')), "JSON is nested deeper than 32");
    EXPECT_TRUE(decode_refusal("").starts_with("not JSON"));
    EXPECT_TRUE(decode_refusal("{} x").starts_with("not JSON"));
    EXPECT_TRUE(decode_refusal("{\"image\":\"\xff\"}").starts_with("not JSON"));
}

TEST(ParseJson, BoundsTheKeysOfAnObject) {
    std::string text = "{";
    for (int i = 0; i < 2000; ++i) {
        text += "\"k" + std::to_string(i) + "\":0,";
    }
    text.back() = '}';
    EXPECT_EQ(decode_refusal(text), "a JSON object has more than 1024 keys");
}

TEST(Encode, IsReadBackTheSame) {
    VmRecord vm;
    vm.name = Name::parse("web");
    vm.uuid = Uuid::make();
    vm.created = Timestamp::now();
    vm.image = Name::parse("debian-12");
    vm.image_digest = Digest::parse("sha256:" + std::string(64, 'a'));
    vm.memory = vm.disk = Bytes::parse("1G");
    vm.nics.emplace_back();
    vm.nics[0].network = Name::parse("user");
    vm.nics[0].mac = Mac::derive(vm.uuid, 0);
    vm.publish = {PublishedPort::parse("80:80")};
    vm.labels = {{"a.b", "x \"y\" \\ 'z'"}};
    EXPECT_EQ(encode(decode<VmRecord>(encode(vm))), encode(vm));
    const std::string toml = json_to_toml(encode(vm), "a comment");
    EXPECT_EQ(encode(decode<VmRecord>(toml_to_json(toml, "x"))), encode(vm)) << toml;
}

class ConfigFile : public testing::Test {
  protected:
    std::string refusal(const std::string& text) {
        replace_file(folder_ / "c.toml", text);
        try {
            static_cast<void>(load_config_files({folder_ / "c.toml"}));
        } catch (const Error& error) {
            std::string what = error.what();
            return what.starts_with(folder_.string()) ? what.substr(folder_.string().size() + 1) : what;
        }
        return "(accepted)";
    }
    test::TemporaryFolder temporary_;
    fs::path folder_ = temporary_.path();
};

TEST_F(ConfigFile, ErrorsNameFileAndLine) {
    EXPECT_EQ(refusal("\n[server]\nthreds = 1\n"), "c.toml:3: server.threds: unknown key");
    EXPECT_EQ(refusal("[server]\nthreads = \"x\"\n"),
              "c.toml:2: server.threads: must be a whole number, not string");
    EXPECT_EQ(refusal("[vm]\nstart_timeout = \"5x\"\n"),
              "c.toml:2: vm.start_timeout: '5x' is not a valid duration");
    EXPECT_TRUE(refusal("[vm\n").starts_with("c.toml:1:"));
    EXPECT_EQ(refusal("[vm]\nssh_port_first = 3\nssh_port_last = 2\n"),
              "c.toml: vm.ssh_port_first: 3 is not between 1 and 2");
    EXPECT_EQ(refusal("[server]\nthreads = 0\n"), "c.toml: server.threads: 0 is not between 1 and 64");
}

TEST_F(ConfigFile, LaterFilesWinKeyByKey) {
    replace_file(folder_ / "a.toml", "[vm]\nssh_port_first = 30000\nssh_port_last = 30010\n");
    replace_file(folder_ / "b.toml", "[vm]\nssh_port_last = 30020\n");
    const Config config =
        load_config_files({folder_ / "a.toml", folder_ / "b.toml", folder_ / "missing.toml"});
    EXPECT_EQ(config.vm.ssh_port_first, 30000);
    EXPECT_EQ(config.vm.ssh_port_last, 30020);
}

TEST_F(ConfigFile, NamesTheLineOfAMistakeInAList) {
    EXPECT_EQ(
        refusal("[[image.source]]\nname = \"a\"\n[[image.source]]\nname = \"b\"\nurl = \"x\"\n"),
        "c.toml:5: image.source[1].url: 'x' is not a valid URL: it does not begin with https://, http:// or "
        "file:///");
    EXPECT_EQ(refusal("[[image.source]]\nname = \"a\"\n[[image.source]]\nname = \"a\"\n"),
              "c.toml: image.source: 'a' stands twice");
}

TEST_F(ConfigFile, LaterFilesWinByTheNamesInAList) {
    replace_file(folder_ / "a.toml",
                 "[[image.source]]\nname = \"a\"\nkind = \"index\"\nurl = \"https://a/i\"\n"
                 "[[image.source]]\nname = \"b\"\nkind = \"index\"\nurl = \"https://b/i\"\n");
    replace_file(folder_ / "b.toml", "[[image.source]]\nname = \"c\"\nenabled = false\n"
                                     "[[image.source]]\nname = \"a\"\nurl = \"https://other/i\"\n");
    const Config config = load_config_files({folder_ / "a.toml", folder_ / "b.toml"});
    ASSERT_EQ(config.image.source.size(), 3U);
    EXPECT_EQ(config.image.source[0].url->to_string(), "https://other/i");
    EXPECT_EQ(config.image.source[0].kind, SourceKind::index);
    EXPECT_EQ(config.image.source[1].url->to_string(), "https://b/i");
    EXPECT_EQ(config.image.source[2].enabled, false);
}

TEST_F(ConfigFile, IsRefusedWhenOthersMayWriteIt) {
    replace_file(folder_ / "c.toml", "", 0666);
    EXPECT_THROW(static_cast<void>(load_config_files({folder_ / "c.toml"})), Error);
}

} // namespace
} // namespace capsul
