#include "lib/join_code.hpp"

#include "daemon/digest.hpp"
#include "lib/base64.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace capsul {
namespace {

const std::string prefix = "capsul-join-";

JoinCode some_code() {
    JoinCode code;
    code.network = Name::parse("office");
    code.addresses = {VpnAddress::parse("vpn.example.org:11656"), VpnAddress::parse("[2001:db8::1]:11656")};
    code.secret = JoinSecret::generate();
    code.inviter = PrivateIdentity::generate().identity();
    code.expires = Timestamp::parse("2026-11-22T06:00:00Z");
    return code;
}

std::string error_of(const std::string& text) {
    try {
        (void)JoinCode::parse(text);
        return "";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid) << text;
        return error.what();
    }
}

std::string to_url(std::string text) {
    std::ranges::replace(text, '+', '-');
    std::ranges::replace(text, '/', '_');
    std::erase(text, '=');
    return text;
}

std::string from_url(std::string text) {
    std::ranges::replace(text, '-', '+');
    std::ranges::replace(text, '_', '/');
    text.resize((text.size() + 3) / 4 * 4, '=');
    return text;
}

std::string json_in(const JoinCode& code) {
    const std::string data = base64_decode(from_url(code.to_string().substr(prefix.size()))).value();
    return data.substr(0, data.size() - 4);
}

/// A code with `json` in it, and with everything around that as it has to be.
std::string sealed(const std::string& json) {
    const std::string digest = sha256_hex(json);
    std::string mark;
    for (std::size_t i = 0; i < 8; i += 2) {
        mark += static_cast<char>(std::stoi(digest.substr(i, 2), nullptr, 16));
    }
    return prefix + to_url(base64_encode(json + mark));
}

TEST(JoinCode, IsReadBackTheSame) {
    const JoinCode code = some_code();
    EXPECT_EQ(JoinCode::parse(code.to_string()), code);
    EXPECT_TRUE(code.to_string().starts_with(prefix));
    EXPECT_LT(code.to_string().size(), 400U);
    EXPECT_EQ(code.to_string().find_first_not_of(
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
              std::string::npos);
}

TEST(JoinCode, TellsOfEveryMistypedCharacter) {
    const std::string text = some_code().to_string();
    for (std::size_t i = prefix.size(); i < text.size(); ++i) {
        std::string altered = text;
        altered[i] = altered[i] == 'A' ? 'B' : 'A';
        EXPECT_EQ(error_of(altered), "the join code has a wrong character, or one is missing") << i;
        altered = text;
        altered.erase(i, 1);
        EXPECT_EQ(error_of(altered), "the join code has a wrong character, or one is missing") << i;
    }
}

TEST(JoinCode, RefusesWhatIsNone) {
    EXPECT_EQ(error_of(""), "the join code does not begin with \"capsul-join-\"");
    EXPECT_EQ(error_of("Capsul-join-AAAA"), "the join code does not begin with \"capsul-join-\"");
    EXPECT_EQ(error_of(prefix), "the join code has a wrong character, or one is missing");
    EXPECT_EQ(error_of(prefix + "AAA="), "the join code has a wrong character, or one is missing");
    EXPECT_EQ(error_of(some_code().to_string() + "\n"),
              "the join code has a wrong character, or one is missing");
    EXPECT_EQ(error_of(prefix + std::string(5000, 'A')), "the join code has 5012 characters, more than 4096");
}

TEST(JoinCode, RefusesEveryHostileField) {
    const Json good = parse_json(json_in(some_code()));
    EXPECT_EQ(error_of(sealed(dump_json(good))), "");
    const std::vector<std::pair<const char*, const char*>> bad{
        {"n", R"("../x")"},
        {"n", R"("a\nb")"},
        {"n", "7"},
        {"a", "[]"},
        {"a", R"(["192.0.2.1"])"},
        {"a", R"(["-oProxyCommand=x:1"])"},
        {"a", R"(["$(id):1"])"},
        {"a", R"(["a\nb:1"])"},
        {"a", R"(["192.0.2.1:0"])"},
        {"a", R"(["192.0.2.1:70000"])"},
        {"a", R"("192.0.2.1:1")"},
        {"s", R"("AAAA")"},
        {"s", R"("")"},
        {"s", "null"},
        {"i", R"("AAAA")"},
        {"i", R"(["x"])"},
        {"e", R"("tomorrow")"},
        {"e", "0"},
        {"v", "2"},
        {"v", R"("1")"},
        {"v", "1.5"},
    };
    for (const auto& [key, value] : bad) {
        Json altered = good;
        altered[key] = parse_json(value);
        EXPECT_NE(error_of(sealed(dump_json(altered))), "") << key << " " << value;
        altered.erase(key);
        EXPECT_NE(error_of(sealed(dump_json(altered))), "") << key << " is missing";
    }
    Json more = good;
    more["x"] = 1;
    EXPECT_NE(error_of(sealed(dump_json(more))), "");
    more = good;
    more["a"] = Json::array();
    for (int i = 0; i < 17; ++i) {
        more["a"].push_back("192.0.2.1:1");
    }
    EXPECT_EQ(error_of(sealed(dump_json(more))), "the join code has 17 addresses, not 1 to 16");
}

TEST(JoinCode, RefusesWhatIsNoObject) {
    for (const char* json : {"", "[]", "null", "7", "{", "{}", R"({"v":1,"v":1})"}) {
        EXPECT_NE(error_of(sealed(json)), "") << json;
    }
}

TEST(JoinSecret, IsNotShownByItsError) {
    try {
        (void)JoinSecret::parse("c2VjcmV0");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find("c2Vj"), std::string::npos);
    }
    const JoinSecret secret = JoinSecret::generate();
    EXPECT_EQ(JoinSecret::parse(secret.to_string()), secret);
    EXPECT_NE(secret, JoinSecret::generate());
}

} // namespace
} // namespace capsul
