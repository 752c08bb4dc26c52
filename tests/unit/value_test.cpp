#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/port.hpp"
#include "lib/size.hpp"
#include "lib/vm.hpp"

#include <gtest/gtest.h>
#include <set>

namespace capsul {
namespace {

/// The code that parsing throws; fails the test when it throws nothing.
template <class Parse>
ErrorCode refusal(Parse parse) {
    try {
        static_cast<void>(parse());
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "was accepted";
    return ErrorCode::internal;
}

TEST(Name, AcceptsADnsLabel) {
    for (const std::string& good :
         {std::string("a"), std::string("web-1"), std::string("a0"), std::string(63, 'x')}) {
        EXPECT_EQ(Name::parse(good).to_string(), good);
    }
}

class BadName : public testing::TestWithParam<std::string> {};
TEST_P(BadName, IsRefused) {
    EXPECT_EQ(refusal([] { return Name::parse(GetParam()); }), ErrorCode::invalid);
}
INSTANTIATE_TEST_SUITE_P(Name, BadName,
                         testing::Values("", std::string(64, 'a'), "../x", "a/b", ".", "..", "-a", ".a",
                                         "a\n", std::string("a\0b", 3), "%n", "%h", "$HOME", "`id`", "a;b",
                                         "é", "\xff", "Web", "1a", "a-", "a_b", "a.b", "default", "capsul",
                                         "all", "localhost", "a b", "\xe2\x80\xae"));

TEST(Name, MadeUpOnesAreValidAndDiffer) {
    std::set<Name> names;
    for (int i = 0; i < 50; ++i) {
        names.insert(Name::parse(made_up_name().to_string()));
    }
    EXPECT_GT(names.size(), 40U);
}

TEST(Bytes, ReadsBinaryAndDecimalUnits) {
    EXPECT_EQ(Bytes::parse("1").count(), 1U);
    EXPECT_EQ(Bytes::parse("2K").count(), 2048U);
    EXPECT_EQ(Bytes::parse("2KB").count(), 2000U);
    EXPECT_EQ(Bytes::parse("20G").count(), 21474836480U);
    EXPECT_EQ(Bytes::parse("20GiB"), Bytes::parse("20G"));
    EXPECT_EQ(Bytes::parse("1T").count(), 1099511627776U);
}

TEST(Bytes, WritesTheShortestExactForm) {
    for (const char* text : {"1G", "512M", "1000", "3K", "1025"}) {
        EXPECT_EQ(Bytes::parse(text).to_string(), text);
    }
    EXPECT_EQ(Bytes::parse("1024M").to_string(), "1G");
}

class BadSize : public testing::TestWithParam<std::string> {};
TEST_P(BadSize, IsRefused) {
    EXPECT_EQ(refusal([] { return Bytes::parse(GetParam()); }), ErrorCode::invalid);
}
INSTANTIATE_TEST_SUITE_P(Bytes, BadSize,
                         testing::Values("", "0", "0G", "-1", "1.5G", "G", "1X", "1 G",
                                         "99999999999999999999", "9223372036854775808", "8388608T", "1e3",
                                         "0x10", "1G\n", "+1"));

TEST(Duration, ReadsWhatPeopleWrite) {
    EXPECT_EQ(Duration::parse("90s").value(), std::chrono::seconds(90));
    EXPECT_EQ(Duration::parse("90").value(), std::chrono::seconds(90));
    EXPECT_EQ(Duration::parse("1h30m").value(), std::chrono::minutes(90));
    EXPECT_EQ(Duration::parse("500ms").value(), std::chrono::milliseconds(500));
}

TEST(Duration, WritesWhatItReads) {
    for (const char* text : {"90s", "5m", "2h", "1d", "1500ms"}) {
        EXPECT_EQ(Duration::parse(text).to_string(), text);
    }
}

class BadDuration : public testing::TestWithParam<std::string> {};
TEST_P(BadDuration, IsRefused) {
    EXPECT_EQ(refusal([] { return Duration::parse(GetParam()); }), ErrorCode::invalid);
}
INSTANTIATE_TEST_SUITE_P(Duration, BadDuration,
                         testing::Values("", "0", "0s", "-5s", "5x", "s", "31d", "99999999999999999999s",
                                         "1h 5m", "5m30", "1.5h"));

TEST(Age, ReadsAndWritesWhatPeopleWrite) {
    for (const char* text : {"30d", "90d", "12h", "36500d"}) {
        EXPECT_EQ(Age::parse(text).to_string(), text);
    }
    EXPECT_EQ(Age::parse("1d12h").value(), std::chrono::hours(36));
}

class BadAge : public testing::TestWithParam<std::string> {};
TEST_P(BadAge, IsRefused) {
    EXPECT_EQ(refusal([] { return Age::parse(GetParam()); }), ErrorCode::invalid);
}
INSTANTIATE_TEST_SUITE_P(Age, BadAge,
                         testing::Values("", "30", "0d", "-5d", "5x", "d", "36501d", "99999999999999999999d",
                                         "1d 5h", "1.5d", "1d5"));

TEST(Timestamp, KeepsASecond) {
    EXPECT_EQ(Timestamp::parse("2026-11-22T03:37:03Z").to_string(), "2026-11-22T03:37:03Z");
    EXPECT_EQ(refusal([] { return Timestamp::parse("yesterday"); }), ErrorCode::invalid);
    EXPECT_EQ(refusal([] { return Timestamp::parse("2026-11-22T03:37:03Zx"); }), ErrorCode::invalid);
}

TEST(Mac, IsDerivedTheSameEachTimeAndIsLocal) {
    const Uuid vm = Uuid::make();
    EXPECT_EQ(Mac::derive(vm, 0), Mac::derive(vm, 0));
    EXPECT_NE(Mac::derive(vm, 0), Mac::derive(vm, 1));
    EXPECT_TRUE(Mac::derive(vm, 0).to_string().starts_with("02:"));
}

TEST(Mac, RefusesGlobalMulticastAndGarbage) {
    for (const char* bad :
         {"00:11:22:33:44:55", "01:00:5e:00:00:01", "02-00-00-00-00-01", "02:00:00:00:00", "zz"}) {
        EXPECT_EQ(refusal([&] { return Mac::parse(bad); }), ErrorCode::invalid) << bad;
    }
}

TEST(Uuid, IsVersionFour) {
    const std::string text = Uuid::make().to_string();
    EXPECT_EQ(text[14], '4');
    EXPECT_EQ(Uuid::parse(text).to_string(), text);
    EXPECT_NE(Uuid::make(), Uuid::make());
}

TEST(PublishedPort, ReadsEveryForm) {
    EXPECT_EQ(PublishedPort::parse("8080:80").to_string(), "127.0.0.1:8080:80/tcp");
    EXPECT_EQ(PublishedPort::parse("0.0.0.0:53:53/udp").to_string(), "0.0.0.0:53:53/udp");
    EXPECT_EQ(PublishedPort::parse("[::1]:8080:80/tcp").to_string(), "[::1]:8080:80/tcp");
}

class BadPort : public testing::TestWithParam<std::string> {};
TEST_P(BadPort, IsRefused) {
    EXPECT_EQ(refusal([] { return PublishedPort::parse(GetParam()); }), ErrorCode::invalid);
}
INSTANTIATE_TEST_SUITE_P(PublishedPort, BadPort,
                         testing::Values("", "80", ":80", "80:", "0:80", "80:0", "65536:80", "80:80/sctp",
                                         "a:b", "host:80:80", "1.2.3:80:80", "80:80,hostfwd=x", "::1:80:80",
                                         "-1:80"));

TEST(PublishedPort, ClashesOnTheSameAddressOrAWildcard) {
    const auto local = PublishedPort::parse("8080:80");
    EXPECT_TRUE(local.clashes_with(PublishedPort::parse("8080:81")));
    EXPECT_TRUE(local.clashes_with(PublishedPort::parse("0.0.0.0:8080:80")));
    EXPECT_FALSE(local.clashes_with(PublishedPort::parse("8080:80/udp")));
    EXPECT_FALSE(local.clashes_with(PublishedPort::parse("127.0.0.2:8080:80")));
}

TEST(PublishedPort, OfIpv6ClashesWithNoneOfIpv4) {
    const auto all = PublishedPort::parse("[::]:8080:80");
    EXPECT_TRUE(all.clashes_with(PublishedPort::parse("[::1]:8080:81")));
    EXPECT_FALSE(all.clashes_with(PublishedPort::parse("0.0.0.0:8080:80")));
    EXPECT_FALSE(all.clashes_with(PublishedPort::parse("8080:80")));
}

TEST(PublishedPort, RefusesIpv4InTheClothesOfIpv6) {
    EXPECT_THROW(static_cast<void>(PublishedPort::parse("[::ffff:127.0.0.1]:8080:80")), Error);
}

constexpr const char* key =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIHbLOcbXdHmYx9iBhVdm0vhOUfL5kFb/6yHFrFF3Z2o me@home";

TEST(SshKey, ReadsAPublicKeyFile) {
    const auto keys = parse_ssh_keys(std::string("# mine\n\n") + key + "\r\n");
    ASSERT_EQ(keys.size(), 1U);
    EXPECT_EQ(keys[0].to_string(), key);
}

TEST(SshKey, RefusesOptionsPrivateKeysAndControlCharacters) {
    for (const std::string& bad :
         {std::string("command=\"evil\" ") + key, std::string("-----BEGIN OPENSSH PRIVATE KEY-----"),
          std::string(key) + "\x1b[31m", std::string("ssh-ed25519"), std::string("ssh-ed25519 !!!!")}) {
        EXPECT_EQ(refusal([&] { return SshKey::parse(bad); }), ErrorCode::invalid) << bad;
    }
}

TEST(SshKey, ErrorNamesTheLine) {
    try {
        static_cast<void>(parse_ssh_keys(std::string(key) + "\nnonsense\n"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_TRUE(std::string(error.what()).starts_with("line 2: ")) << error.what();
    }
}

TEST(CpuCount, IsBetweenOneAnd255) {
    EXPECT_EQ(CpuCount::from_number(255).number(), 255);
    EXPECT_EQ(refusal([] { return CpuCount::from_number(0); }), ErrorCode::invalid);
    EXPECT_EQ(refusal([] { return CpuCount::from_number(256); }), ErrorCode::invalid);
}

TEST(VmOfUnit, KnowsOnlyOurUnits) {
    EXPECT_EQ(vm_of_unit("capsul-vm-web.service"), Name::parse("web"));
    for (const char* other :
         {"capsul-vm-.service", "capsul-vm-web.socket", "web.service", "capsul-vm-We b.service"}) {
        EXPECT_EQ(vm_of_unit(other), std::nullopt) << other;
    }
}

TEST(LabelMatches, ByKeyOrByKeyAndValue) {
    const Labels labels{{"env", "prod"}};
    EXPECT_TRUE(label_matches(labels, "env"));
    EXPECT_TRUE(label_matches(labels, "env=prod"));
    EXPECT_FALSE(label_matches(labels, "env=test"));
    EXPECT_FALSE(label_matches(labels, "tier"));
}

} // namespace
} // namespace capsul
