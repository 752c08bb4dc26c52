#include "daemon/store.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/toml.hpp"
#include "tests/temporary_folder.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

namespace capsul {
namespace {

class StoreTest : public testing::Test {
  protected:
    StoreTest() { paths_.data = folder_.path(); }

    static VmRecord vm(const std::string& name) {
        VmRecord record;
        record.name = Name::parse(name);
        record.uuid = Uuid::parse("5e5f7a52-0f0a-4f8f-9d2f-3f3b3c3d3e3f");
        record.created = Timestamp::parse("2026-11-22T03:37:03Z");
        record.image = Name::parse("debian-12");
        record.image_digest = Digest::parse("sha256:" + std::string(64, 'a'));
        record.cpus = CpuCount::from_number(2);
        record.memory = Bytes::parse("1G");
        record.disk = Bytes::parse("20G");
        record.ssh_port = 22001;
        record.labels = {{"env", "prod \"quoted\""}};
        return record;
    }
    fs::path file(const std::string& name) const { return paths_.vms() / name / "vm.toml"; }
    std::string text(const std::string& name) const { return read_file(file(name)); }
    void write(const std::string& name, const std::string& content) const {
        fs::create_directories(paths_.vms() / name);
        std::ofstream(file(name)) << content;
    }
    void edit(const std::string& name, const std::string& from, const std::string& to) const {
        std::string content = text(name);
        const auto at = content.find(from);
        ASSERT_NE(at, std::string::npos) << content;
        write(name, content.replace(at, from.size(), to));
    }
    std::string broken(Store& store, const std::string& name) const {
        const auto stored = store.vms.find(Name::parse(name));
        return stored ? stored->broken : "not there";
    }
    static Error save_refusal(Store& store, const VmRecord& record) {
        try {
            store.vms.save(record);
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "was saved";
        return {ErrorCode::internal, ""};
    }

    test::TemporaryFolder folder_;
    Paths paths_;
};

TEST_F(StoreTest, GivesBackWhatWasSaved) {
    Store(paths_).vms.save(vm("web"));
    Store later(paths_);
    EXPECT_EQ(encode(later.vms.load(Name::parse("web"))), encode(vm("web")));
}

TEST_F(StoreTest, KeepsRecordsFromOthers) {
    Store(paths_).vms.save(vm("web"));
    EXPECT_EQ(fs::status(file("web")).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(std::distance(fs::directory_iterator(paths_.vms() / "web"), {}), 1)
        << "a temporary file is left";
}

TEST_F(StoreTest, SaysNotFoundWithAHint) {
    Store store(paths_);
    EXPECT_FALSE(store.vms.find(Name::parse("web")));
    try {
        static_cast<void>(store.vms.load(Name::parse("web")));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_found);
        EXPECT_FALSE(error.hint().empty());
    }
}

TEST_F(StoreTest, SeesAnEditByHandAtOnce) {
    Store store(paths_);
    store.vms.save(vm("web"));
    ASSERT_EQ(store.vms.load(Name::parse("web")).cpus.number(), 2);
    for (int cpus = 3; cpus < 9; ++cpus) { // the same length each time
        std::this_thread::sleep_for(
            std::chrono::milliseconds(10)); // the clock of file times ticks every 4 ms
        edit("web", fmt::format("cpus = {}", cpus - 1), fmt::format("cpus = {}", cpus));
        EXPECT_EQ(store.vms.load(Name::parse("web")).cpus.number(), cpus);
    }
}

TEST_F(StoreTest, SeesAnEditThatKeepsLengthAndModificationTime) {
    Store store(paths_);
    store.vms.save(vm("web"));
    ASSERT_EQ(store.vms.load(Name::parse("web")).cpus.number(), 2);
    const auto before = fs::last_write_time(file("web"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    edit("web", "cpus = 2", "cpus = 8");
    fs::last_write_time(file("web"), before);
    EXPECT_EQ(store.vms.load(Name::parse("web")).cpus.number(), 8);
}

TEST_F(StoreTest, SeesARemovalByHandAtOnce) {
    Store store(paths_);
    store.vms.save(vm("web"));
    ASSERT_EQ(store.vms.list().size(), 1U);
    fs::remove_all(paths_.vms() / "web");
    EXPECT_TRUE(store.vms.list().empty());
    EXPECT_FALSE(store.vms.exists(Name::parse("web")));
}

TEST_F(StoreTest, NamesFileLineAndKeyOfAnUnknownKey) {
    Store store(paths_);
    store.vms.save(vm("web"));
    edit("web", "cpus = 2", "cups = 2\ncpus = 2");
    EXPECT_NE(broken(store, "web").find("vm.toml"), std::string::npos);
    EXPECT_NE(broken(store, "web").find("cups"), std::string::npos) << broken(store, "web");
}

TEST_F(StoreTest, NamesFileAndLineOfAWrongType) {
    Store store(paths_);
    store.vms.save(vm("web"));
    edit("web", "cpus = 2", "cpus = \"two\"");
    EXPECT_NE(broken(store, "web").find("cpus"), std::string::npos) << broken(store, "web");
    EXPECT_NE(broken(store, "web").find("vm.toml:"), std::string::npos) << broken(store, "web");
}

TEST_F(StoreTest, CallsBrokenWhatItCannotTrust) {
    Store store(paths_);
    const std::map<std::string, std::string> why{{"cut", "vm.toml"},         {"other", "name in it"},
                                                 {"newer", "newer capsul"},  {"empty", "missing"},
                                                 {"folder", "regular file"}, {"loop", "symbolic"}};
    for (const auto& [name, words] : why) {
        store.vms.save(vm(name));
    }
    write("cut", text("cut").substr(0, text("cut").size() / 2) + "\nx = ");
    edit("other", "name = 'other'", "name = 'elsewhere'");
    edit("newer", "format = 1", "format = 2");
    write("empty", "");
    fs::remove(file("folder"));
    fs::create_directory(file("folder"));
    fs::remove(file("loop"));
    fs::create_symlink("vm.toml", file("loop"));
    store.vms.save(vm("good"));

    for (const auto& [name, words] : why) {
        EXPECT_NE(broken(store, name).find(words), std::string::npos) << name << ": " << broken(store, name);
    }
    EXPECT_EQ(store.vms.list().size(), why.size() + 1) << "one broken record hides others";
    EXPECT_EQ(encode(store.vms.load(Name::parse("good"))), encode(vm("good")));
}

TEST_F(StoreTest, SavesNothingThatItCouldNotRead) {
    Store store(paths_);
    VmRecord web = vm("web");
    store.vms.save(web);
    web.labels["env"] += std::string(longest_toml - text("web").size(), 'x');
    store.vms.save(web);
    ASSERT_EQ(text("web").size(), longest_toml);
    EXPECT_EQ(encode(store.vms.load(web.name)), encode(web));

    const std::string before = text("web");
    web.labels["env"] += 'x';
    EXPECT_EQ(save_refusal(store, web).code(), ErrorCode::too_large);
    EXPECT_TRUE(text("web") == before);
    web.name = Name::parse("another");
    EXPECT_NE(std::string(save_refusal(store, web).what()).find("vm another"), std::string::npos);
    EXPECT_FALSE(fs::exists(paths_.vms() / "another"));
}

TEST_F(StoreTest, ARecordBehindALinkThatLeadsNowhereIsThereAndBroken) {
    Store store(paths_);
    const fs::path disk = folder_.path() / "disk";
    const fs::path away = folder_.path() / "away";
    const Name moved = Name::parse("moved");
    store.vms.save(vm("moved"));
    store.vms.save(vm("linked"));
    fs::create_directory(disk);
    fs::rename(paths_.vms() / "moved", disk / "moved");
    fs::create_directory_symlink(disk / "moved", paths_.vms() / "moved");
    fs::rename(file("linked"), disk / "linked.toml");
    fs::create_symlink(disk / "linked.toml", file("linked"));
    EXPECT_EQ(encode(store.vms.load(moved)), encode(vm("moved")));

    fs::rename(disk, away);
    for (const char* name : {"moved", "linked"}) {
        const std::string words = "is a link that leads nowhere: " + (disk / name).string();
        EXPECT_NE(broken(store, name).find(words), std::string::npos) << broken(store, name);
        EXPECT_TRUE(store.vms.exists(Name::parse(name)));
    }
    EXPECT_EQ(store.vms.list().size(), 2U);
    fs::create_directories(disk / "moved"); // where it would be mounted
    EXPECT_NE(broken(store, "moved").find("to where no record is"), std::string::npos);
    fs::remove_all(disk);
    fs::rename(away, disk);
    EXPECT_EQ(encode(store.vms.load(moved)), encode(vm("moved")));
}

TEST_F(StoreTest, OfAnImageOnlyItsFileMayBeALink) {
    Store store(paths_);
    const Name debian = Name::parse("debian");
    fs::create_directories(paths_.images());
    fs::create_symlink("nowhere", paths_.images() / "debian");
    EXPECT_FALSE(store.images.find(debian));
    EXPECT_FALSE(store.images.exists(debian));
    fs::create_symlink("nowhere", paths_.images() / "debian.toml");
    EXPECT_TRUE(store.images.exists(debian));
    ASSERT_EQ(store.images.list().size(), 1U);
    EXPECT_NE(store.images.list().front().broken.find("leads nowhere"), std::string::npos);
}

TEST_F(StoreTest, LoadsNothingBroken) {
    Store store(paths_);
    write("web", "garbage");
    EXPECT_THROW(static_cast<void>(store.vms.load(Name::parse("web"))), Error);
}

TEST_F(StoreTest, RemovesABrokenRecord) {
    Store store(paths_);
    write("web", "garbage");
    store.vms.remove(Name::parse("web"));
    EXPECT_FALSE(store.vms.find(Name::parse("web")));
    EXPECT_NO_THROW(store.vms.remove(Name::parse("web")));
}

TEST_F(StoreTest, PassesOverWhatIsNoRecord) {
    Store store(paths_);
    store.vms.save(vm("web"));
    fs::create_directories(paths_.vms() / "No_Name");
    fs::create_directories(paths_.vms() / "half-made");
    fs::create_directories(paths_.images());
    std::ofstream(paths_.images() / "sha256-00.qcow2") << "x";
    EXPECT_EQ(store.vms.list().size(), 1U);
    EXPECT_TRUE(store.images.list().empty());
}

TEST_F(StoreTest, WhatCannotBeLookedAtIsThereAndBroken) {
    Store store(paths_);
    fs::create_directories(paths_.vms() / "web");
    fs::create_symlink(file("web"), file("web"));
    EXPECT_TRUE(store.vms.exists(Name::parse("web")));
    EXPECT_NE(broken(store, "web").find("symbolic links"), std::string::npos) << broken(store, "web");
}

TEST_F(StoreTest, DoesNotTakeAnUnreadableFolderForAnEmptyOne) {
    std::ofstream(paths_.vms()) << "a file where the folder should be";
    Store store(paths_);
    EXPECT_THROW(static_cast<void>(store.vms.list()), Error);
}

TEST_F(StoreTest, ListsAThousandByName) {
    Store store(paths_);
    const std::string one = json_to_toml(encode(vm("vm-0000")));
    for (int i = 999; i >= 0; --i) {
        const std::string name = fmt::format("vm-{:04}", i);
        std::string content = one;
        write(name, content.replace(content.find("vm-0000"), name.size(), name));
    }
    const auto time_of_list = [&] {
        const auto begun = std::chrono::steady_clock::now();
        EXPECT_EQ(store.vms.list().size(), 1000U);
        return std::chrono::steady_clock::now() - begun;
    };
    const auto first = time_of_list();
    const auto all = store.vms.list();
    EXPECT_EQ(all.front().name.to_string(), "vm-0000");
    EXPECT_EQ(all.back().name.to_string(), "vm-0999");
    const auto later = std::min({time_of_list(), time_of_list(), time_of_list(), time_of_list()});
    EXPECT_LT(later, first / 2) << "unchanged records are read again";
}

TEST_F(StoreTest, ServesThreadsAtOnce) {
    Store store(paths_);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&store, i] {
            const std::string name = fmt::format("vm-{}", i % 4);
            for (int round = 0; round < 20; ++round) {
                store.vms.save(vm(name));
                EXPECT_EQ(store.vms.load(Name::parse(name)).name.to_string(), name);
                EXPECT_FALSE(store.vms.list().empty());
            }
        });
    }
}

} // namespace
} // namespace capsul
