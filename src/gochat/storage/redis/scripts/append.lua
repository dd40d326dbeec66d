-- Append entries to conversations, in order, each with all that follows from it, or say why not.
--
-- KEYS: all of one partition: its state, feed, rooms, conversations, roles and mutes; then those of each draft,
-- the last of these, the claim, only where the sender's is the same server.
-- ARGV: the epoch that the caller believes in; then of each draft its fields (PackedDraft in records.py) and
-- the digest of its cid.
-- Returns {"stale"}: another epoch; {"gate", milliseconds to wait}; or {"done", a reply to each draft …}:
-- {"ok", epoch, seq, ts, position, name of the room, milliseconds by which the time of the
-- conversation was too far ahead, or 0, the floor of who joins, or 0}, and where it invites somebody or
-- ends invitations: the room's topic, {the people whose invitations it ends}; and where it is about what
-- somebody else wrote, after these two: their name;
-- {"dup", epoch, seq, the feed's newest position},
-- {"same"}: nothing would change; {"no", error code}; {"changed"}: its facts are not so;
-- {"again"}: nothing was appended yet, ask again; {"gone"}: keys of the conversation have vanished. After
-- the last three it ends: nothing overtakes what may still be appended.

local EVERYBODY = '@room' -- in mentions, as protocol/text.py says
local STEPS = 500 -- old edits that are erased in one go: some 10 ms

local state, feed, rooms, convs, roles, mutes = unpack(KEYS, 1, 6)
local epoch = ARGV[1]

local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
local current, gate = unpack(redis.call('HMGET', state, 'epoch', 'gate'))
if current ~= epoch then
  return { 'stale' }
end
if gate then
  local left = tonumber(gate) - math.floor(clock / 1000)
  -- A gate that is closed for longer was closed by a clock that was ahead.
  if left > 0 and left <= cmsgpack.unpack(ARGV[2]).max_gate then
    return { 'gate', left }
  end
  redis.call('HDEL', state, 'gate')
end

-- A flat list of keys and values as a table.
local function pairs_of(flat)
  local found = {}
  for index = 1, #flat, 2 do
    found[flat[index]] = flat[index + 1]
  end
  return found
end

-- A fixed number of digits, so that their order as text is that of the numbers.
local function digits(number)
  return string.format('%012d', number)
end

local function append(
  draft, digest, meta, log, who, members, mentions, deleted, reactions, changed, own, bans, slowed, activity, pins,
  said, claim
)
  local now, kind, conversation, to = draft.now, draft.kind, draft.conversation, draft.to
  local sender, text, ref, cid, subject = draft.sender, draft.text, draft.ref, draft.cid, draft.subject
  if now == 0 then
    now = math.floor(clock / 1000)
  end

  local is_lobby = conversation == '#lobby'
  local is_private = string.sub(conversation, 1, 1) == '@'

  local seq, ts, texts, base, name, last_stamp, is_indexed, history, floor, slow, announcements, archived =
    unpack(redis.call(
      'HMGET', meta, 'seq', 'ts', 'texts', 'base', 'name', 'stamp', 'indexed', 'history', 'floor', 'slow',
      'announcements', 'archived'
    ))
  slow = 1000 * tonumber(slow or 0) -- in milliseconds
  seq, ts, texts = tonumber(seq or 0), tonumber(ts or 0), tonumber(texts or 0)
  base, floor = tonumber(base or 0), tonumber(floor or 0)
  name = name or (is_lobby and '#lobby')
  clock = clock + 1 -- while a script runs the time stands still, but a search has what was later first
  local stamp = math.max(clock, tonumber(last_stamp or 0) + 1)
  history = history or 'shown'
  local exists = name or seq > 0
  if
    redis.call('LLEN', log) ~= seq - base
    or (seq == 0 and redis.call('SISMEMBER', convs, conversation) == 1)
  then
    return { 'gone' }
  end

  -- The record of an entry, or nil where there is none (any more).
  local function read(number)
    if number > base and number <= seq then
      return cmsgpack.unpack(redis.call('LINDEX', log, number - 1 - base))
    end
  end

  local function write(number, record)
    redis.call('LSET', log, number - 1 - base, cmsgpack.pack(record))
  end

  if cid ~= '' then
    local before = redis.call('HGET', said, digest)
    if before then
      -- A write, so that who waits for replicas waits for this entry, too.
      redis.call('HSET', said, digest, before)
      return { 'dup', epoch, tonumber(before), tonumber(redis.call('HGET', state, 'pos')) }
    end
    local elsewhere = claim and redis.call('GET', claim)
    if elsewhere and elsewhere ~= conversation then
      return { 'no', 'cid_conflict' }
    end
  end

  local function row_of(person)
    local row = redis.call('HGET', who, person)
    return row and cmsgpack.unpack(row)
  end

  local function set_row(person, row)
    redis.call('HSET', who, person, cmsgpack.pack(row))
  end

  local function is_banned(person)
    local packed = redis.call('HGET', bans, person)
    local ends = packed and cmsgpack.unpack(packed)[BAN.ends]
    return ends and (ends == 0 or ends > now)
  end

  local function role_of(person)
    local row = row_of(person)
    if row then
      return row[ROW.role]
    end
    return is_banned(person) and 'banned' or 'nobody'
  end

  -- Whether somebody's role is one of `roles`; where there are none, it is not compared.
  local function has_role(person, roles)
    local actual = #roles == 0 or role_of(person)
    if actual == true then
      return true
    end
    for _, role in ipairs(roles) do
      if role == actual then
        return true
      end
    end
    return false
  end

  -- The role of somebody at the server. Where none was set since roles are here, it is the one that the
  -- decision was based on: it has not changed since.
  local function server_role(person, decided)
    return redis.call('HGET', roles, person) or decided or 'member'
  end

  -- How many different emoji a message has besides the one that the draft gives, and how many of them are
  -- the sender's.
  local function other_emoji()
    local given = redis.call(
      'ZRANGEBYLEX', reactions, '[' .. digits(ref) .. ':', '(' .. digits(ref) .. ';'
    )
    local seen, count, own = { [text] = true }, 0, 0
    for _, one in ipairs(given) do
      local emoji, name = string.match(string.sub(one, 27), '^(%Z*)%z(.*)$')
      if not seen[emoji] then
        seen[emoji] = true
        count = count + 1
      end
      if emoji ~= text and name == draft.sender_name then
        own = own + 1
      end
    end
    return count, own
  end

  local function has_room_for_emoji(max_emoji, max_own)
    if not max_emoji and not max_own then
      return true
    end
    local count, own = other_emoji()
    return (not max_emoji or count <= max_emoji) and (not max_own or own <= max_own)
  end

  -- Whether the message that the draft is about is hidden from its sender.
  local function is_below_floor()
    local row = ref > 0 and row_of(sender)
    return row and ref <= (row[ROW.floor] or 0)
  end

  -- Whether the sender is not muted here: see chat/restrictions.py.
  local function is_audible()
    local ends = redis.call('HGET', mutes, sender)
    local is_muted = ends and (ends == '0' or tonumber(ends) > now)
    return not is_muted or redis.call('HGET', meta, 'private') == '1'
  end

  -- Whether the sender may write to the conversation now: nobody blocks anybody in a private one.
  -- The modes of a room are those of chat/modes.py, and a mute is that of chat/restrictions.py.
  local function is_open()
    if is_private then
      return redis.call('EXISTS', bans) == 0
    end
    local is_written = kind == 'text' or kind == 'edit'
    if (is_written or kind == 'react' or kind == 'topic' or kind == 'pin') and not is_audible() then
      return false
    end
    if
      archived == '1'
      and (
        is_written or kind == 'react' or kind == 'unreact' or kind == 'topic' or kind == 'pin'
        or kind == 'unpin'
      )
    then
      return false
    end
    if (announcements ~= '1' and slow == 0) or role_of(sender) == 'operator' then
      return true
    end
    if
      server_role(sender, draft.facts.server_role) ~= 'member'
      and redis.call('HGET', meta, 'private') ~= '1'
    then
      return true
    end
    if announcements == '1' and is_written then
      return false
    end
    local at = slow > 0 and kind == 'text' and redis.call('ZSCORE', slowed, sender)
    return not at or tonumber(at) > now or now >= tonumber(at) + slow -- ahead: the clock was set back
  end

  local function hold(facts)
    return (exists or is_private)
      and (not facts.is_open or is_open())
      and (not facts.is_audible or is_audible())
      and has_role(sender, facts.sender)
      and not is_below_floor()
      and has_role(subject, facts.subject)
      and (not facts.server_role or server_role(sender, facts.server_role) == facts.server_role)
      and (not facts.acts_on or server_role(unpack(facts.acts_on)) == facts.acts_on[2])
      and (not facts.operator or has_role(facts.operator, { 'operator' }))
      and (facts.private == nil or facts.private == (redis.call('HGET', meta, 'private') == '1'))
      and (not facts.history or facts.history == history)
      and (facts.topic == nil or facts.topic == (redis.call('HGET', meta, 'topic') or ''))
      and (not facts.is_alone or redis.call('ZCARD', members) == 1)
      and has_room_for_emoji(facts.other_emoji, facts.own_emoji)
  end

  if draft.facts and not hold(draft.facts) then
    return { 'changed' }
  end

  -- Up to where entries are hidden from whoever joins by the entry `seq`.
  local function floor_of_joining()
    return history == 'hidden' and seq - 1 or floor
  end

  local function is_inside(person)
    local row = row_of(person)
    return row and row[ROW.role] ~= 'invited' and row
  end

  -- The same for whom the room is handed over to by the entry `seq`: into a private one they get as if its
  -- history were hidden.
  local function floor_of_operator()
    local row = is_inside(sender)
    if row then
      return row[ROW.floor] or 0
    end
    return redis.call('HGET', meta, 'private') == '1' and seq - 1 or floor_of_joining()
  end

  -- The people whose invitations end with this entry, which is not appended yet.
  local function uninvited()
    local person = (kind == 'join' or kind == 'leave' or kind == 'decline' or kind == 'hand_over') and sender or subject
    local row = row_of(person)
    if not row then
      return {}
    end
    if row[ROW.role] == 'invited' then
      return { person }
    end
    -- With the last member of a private room the invitations to it lapse; there are no other rows.
    local lapsed = {}
    if
      (kind == 'leave' or kind == 'kick' or kind == 'ban')
      and redis.call('HGET', meta, 'private') == '1'
      and redis.call('ZCARD', members) == 1
    then
      for _, key in ipairs(redis.call('HKEYS', who)) do
        if key ~= person then
          lapsed[#lapsed + 1] = key
        end
      end
    end
    return lapsed
  end

  -- What followers must know of an entry besides itself, or nil: the topic of a room to which somebody is
  -- invited, and whose invitations end.
  local function effects()
    if kind == 'invite' then
      return redis.call('HGET', meta, 'topic') or '', {}
    end
    if
      kind == 'join' or kind == 'leave' or kind == 'kick' or kind == 'ban' or kind == 'decline'
      or kind == 'hand_over'
    then
      local ended = uninvited()
      if #ended > 0 then
        return '', ended
      end
    end
  end

  -- Append the entry; `author` is who wrote the message that it is about, or nil.
  local function add(author)
    local topic, ended = effects()
    if author then
      topic, ended = '', {}
    end
    seq = seq + 1
    local new_floor = kind == 'join' and floor_of_joining()
      or kind == 'hand_over' and floor_of_operator()
      or 0
    local ahead = ts - now
    if ahead < 0 or ahead > draft.max_ahead then
      ts = now
    end
    if kind == 'text' then
      texts = texts + 1
    end
    local position = redis.call('HINCRBY', state, 'pos', 1)
    local shown = kind == 'text' or kind == 'edit'
    local names = shown and draft.mentions or ''
    local extra = draft.extra ~= '' and draft.extra or nil -- most have none
    redis.call('RPUSH', log, cmsgpack.pack({
      ts, position, stamp, texts, 0, 0, draft.sender_name, kind, ref, cid, text, names, extra,
    }))
    redis.call('XADD', feed, 'MAXLEN', '~', draft.feed_entries, position .. '-0', 'e', cmsgpack.pack({
      conversation, seq, name or to, subject, ts, draft.sender_name, kind, ref, cid, text, names, new_floor,
      topic and draft.extra or extra, topic, ended, author,
    }))
    redis.call('HSET', meta, 'seq', seq, 'ts', ts, 'texts', texts, 'stamp', stamp)
    if seq == 1 then
      redis.call('SADD', convs, conversation)
    end
    if cid ~= '' then
      redis.call('HSET', said, digest, seq)
      if claim then
        redis.call('SET', claim, conversation, 'EX', draft.claim_memory)
      end
    end
    local was_ahead = ahead > draft.max_ahead and ahead or 0
    return { 'ok', epoch, seq, ts, position, name or '', was_ahead, new_floor, topic, ended, author }
  end

  -- Who wrote a message, unless it is the sender, or nil.
  local function other_author(target)
    local author = target and target[RECORD.sender]
    return author ~= draft.sender_name and author or nil
  end

  local function unlist(whose, number)
    local element = whose .. '\0' .. digits(number)
    redis.call('ZREMRANGEBYLEX', activity, '[' .. element .. ':', '(' .. element .. ';')
  end

  -- List an entry among what concerns somebody, or everybody, since now; the newest are kept.
  local function list(whose, number)
    unlist(whose, number)
    redis.call('ZADD', activity, 0, whose .. '\0' .. digits(number) .. ':' .. ts)
    local first, last = '[' .. whose .. '\0', '(' .. whose .. '\1'
    local over = redis.call('ZLEXCOUNT', activity, first, last) - draft.activity_kept
    if over > 0 then
      local oldest = redis.call('ZRANGEBYLEX', activity, first, last, 'LIMIT', over - 1, 1)
      redis.call('ZREMRANGEBYLEX', activity, first, '[' .. oldest[1])
    end
  end

  -- The same for those whom a message mentions, and did not as its mentions were before.
  local function list_mentions(number, before)
    for one in string.gmatch(draft.mentions, '[^,]+') do
      local is_new = not string.find(',' .. before .. ',', ',' .. one .. ',', 1, true)
      if is_new and one ~= draft.sender_name then
        list(one, number)
      end
      if one == EVERYBODY then
        return
      end
    end
  end

  -- Call `act` with the member of the set of mentions for each person whom a message mentions. One that
  -- mentions everybody is counted for everybody, and counted apart for its sender: what people say
  -- themselves is not unread.
  local function each_mention(number, names, sender, act)
    local of = '\0' .. digits(number)
    if string.sub(names, 1, #EVERYBODY) == EVERYBODY then
      act(EVERYBODY .. of)
      act(EVERYBODY .. ' ' .. sender .. of)
      return
    end
    for one in string.gmatch(names, '[^,]+') do
      if one ~= sender then
        act(one .. of)
      end
    end
  end

  local function mention(number)
    each_mention(number, draft.mentions, draft.sender_name, function(member)
      redis.call('ZADD', mentions, 0, member)
    end)
  end

  local function unmention(number, target)
    each_mention(number, target[RECORD.mentions], target[RECORD.sender], function(member)
      redis.call('ZREM', mentions, member)
    end)
  end

  -- A reaction is given once, and only what was given is taken back: other clients count.
  local function append_reaction(target)
    local author = other_author(target)
    local prefix, suffix = digits(ref) .. ':', ':' .. text .. '\0' .. draft.sender_name
    local given
    for _, one in ipairs(
      redis.call('ZRANGEBYLEX', reactions, '[' .. prefix, '(' .. digits(ref) .. ';')
    ) do
      if string.sub(one, 26) == suffix then
        given = one
        break
      end
    end
    if kind == 'react' then
      if given then
        return { 'same' }
      end
      local reply = add(author)
      redis.call('ZADD', reactions, 0, prefix .. digits(seq) .. suffix)
      if author then
        list(author, seq)
      end
      return reply
    end
    if not given then
      return { 'same' }
    end
    redis.call('ZREM', reactions, given)
    if author then
      unlist(author, tonumber(string.sub(given, 14, 25)))
    end
    return add(author)
  end

  local function erase(number, record)
    record[RECORD.deleted], record[RECORD.text], record[RECORD.mentions] = 1, '', ''
    record[RECORD.extra], record[RECORD.pinned] = nil, nil
    write(number, record)
  end

  -- The element of the set of pins for the message that the draft is about.
  local function pin_of(target)
    return digits(ref) .. ':' .. digits(target[RECORD.pinned] or 0)
  end

  local function append_pin(target)
    local is_on = kind == 'pin'
    if ((target[RECORD.pinned] or 0) > 0) == is_on then
      return { 'same' }
    end
    if is_on and redis.call('ZCARD', pins) >= draft.max_pins then
      return { 'no', 'too_many' }
    end
    local reply = add()
    if is_on then
      target[RECORD.extra], target[RECORD.pinned] = target[RECORD.extra] or '', seq
      redis.call('ZADD', pins, 0, pin_of(target))
    else
      redis.call('ZREM', pins, pin_of(target))
      target[RECORD.pinned] = nil
    end
    write(ref, target)
    return reply
  end

  -- Take back a message: its text, its reactions and that it is pinned.
  local function take_back(target)
    redis.call(
      'ZREMRANGEBYLEX', reactions, '[' .. digits(ref) .. ':', '(' .. digits(ref) .. ';'
    )
    redis.call('ZADD', deleted, ref, ref)
    redis.call('ZREM', pins, pin_of(target))
    redis.call('ZREM', own, target[RECORD.sender] .. '\0' .. digits(ref))
    erase(ref, target)
  end

  -- Erase the edits before the last one, which older versions of gochat left readable: each knew the one
  -- before it. Returns whether all are.
  local function erase_old_edits(number)
    local last = number > 0 and read(number)
    if not last or last[RECORD.edited] == 0 then
      return true
    end
    for _ = 1, STEPS do
      local before = read(last[RECORD.edited])
      if not before then
        last[RECORD.edited] = 0
        break
      end
      erase(last[RECORD.edited], before)
      last[RECORD.edited] = before[RECORD.edited]
    end
    write(number, last)
    return last[RECORD.edited] == 0
  end

  local function append_text()
    if not exists and not is_private then
      return { 'no', 'unknown_conversation' }
    end
    if is_private and not exists then
      for index = 1, #draft.people, 2 do
        set_row(draft.people[index], { draft.people[index + 1], '', 0, 0, 0, 'all' })
      end
    end
    local author = ref > 0 and not is_private and other_author(read(ref)) or nil
    local reply = add(author)
    redis.call('ZADD', own, 0, draft.sender_name .. '\0' .. digits(seq))
    if base > 0 then
      redis.call(
        'ZREMRANGEBYLEX', own, '[' .. draft.sender_name .. '\0', '[' .. draft.sender_name .. '\0' .. digits(base)
      )
    end
    mention(seq)
    list_mentions(seq, '')
    if author then
      list(author, seq)
    end
    if slow > 0 then
      redis.call('ZREMRANGEBYSCORE', slowed, '-inf', now - slow)
      redis.call('ZADD', slowed, now, sender)
    end
    return reply
  end

  local function append_change()
    local target = exists and ref > 0 and read(ref)
    if not target or target[RECORD.kind] ~= 'text' or target[RECORD.deleted] ~= 0 then
      return { 'no', 'unknown_message' }
    end
    if kind == 'react' or kind == 'unreact' then
      return append_reaction(target)
    end
    if kind == 'pin' or kind == 'unpin' then
      return append_pin(target)
    end
    if not erase_old_edits(target[RECORD.edited]) then
      return { 'again' }
    end
    local reply = add()
    unmention(ref, target)
    if is_indexed then
      redis.call('ZADD', changed, seq, ref)
    end
    -- Of a message's edits only the last one has a text: so what a deletion has to erase does not grow with
    -- the number of edits.
    local last = read(target[RECORD.edited])
    if last then
      erase(target[RECORD.edited], last)
    end
    if kind == 'edit' then
      list_mentions(ref, target[RECORD.mentions])
      target[RECORD.edited], target[RECORD.text], target[RECORD.mentions] = seq, text, draft.mentions
      write(ref, target)
      mention(ref)
    else
      take_back(target)
    end
    return reply
  end

  local function append_create()
    if exists then
      return { 'no', 'room_exists' }
    end
    name = to
    redis.call('HSET', meta, 'name', name, 'private', text == 'private' and 1 or 0)
    local reply = add()
    set_row(sender, { draft.sender_name, 'operator', ts, seq, texts, 'all' })
    redis.call('ZADD', members, 0, sender)
    if text ~= 'private' then
      redis.call('ZADD', rooms, 0, name)
    end
    return reply
  end

  local function remove(person)
    redis.call('HDEL', who, person)
    local was_inside = redis.call('ZREM', members, person) == 1
    -- With the last member of a private room the invitations to it lapse; there are no other rows.
    if was_inside and redis.call('ZCARD', members) == 0
      and redis.call('HGET', meta, 'private') == '1'
    then
      redis.call('DEL', who)
    end
  end

  -- Show the history to those who join, from the entry `seq` on, if it was hidden.
  local function show_history()
    if history == 'hidden' then
      redis.call('HSET', meta, 'history', 'shown', 'floor', seq - 1)
    end
  end

  local change_room = {
    topic = function()
      redis.call('HSET', meta, 'topic', text)
    end,
    access = function()
      redis.call('HSET', meta, 'private', text == 'private' and 1 or 0)
      redis.call(text == 'private' and 'ZREM' or 'ZADD', rooms, unpack(
        text == 'private' and { name } or { 0, name }
      ))
      if text ~= 'private' then
        show_history()
      end
    end,
    history = function()
      if text == 'shown' then
        show_history()
      else
        redis.call('HSET', meta, 'history', 'hidden')
      end
    end,
    join = function()
      local row = row_of(sender)
      if not row or row[ROW.role] == 'invited' then
        local role = redis.call('ZCARD', members) == 0 and 'operator' or 'member'
        set_row(sender, {
          draft.sender_name, role, ts, seq, texts, row and row[ROW.level] or 'all', floor_of_joining(),
        })
        redis.call('ZADD', members, 0, sender)
      end
    end,
    hand_over = function()
      local row = is_inside(sender)
      if row then
        row[ROW.role] = 'operator'
      else
        local level = (row_of(sender) or {})[ROW.level] or 'all'
        row = { draft.sender_name, 'operator', ts, seq, texts, level, floor_of_operator() }
        redis.call('ZADD', members, 0, sender)
        if redis.call('HGET', meta, 'private') == '1' then
          redis.call('HSET', meta, 'floor', seq - 1)
        end
      end
      set_row(sender, row)
      redis.call('HDEL', bans, sender)
    end,
    leave = function()
      remove(sender)
    end,
    kick = function()
      remove(subject)
    end,
    slow = function()
      redis.call('HSET', meta, 'slow', text)
      if text == '0' then
        redis.call('DEL', slowed)
      end
    end,
    announcements = function()
      redis.call('HSET', meta, 'announcements', text == 'on' and 1 or 0)
    end,
    archive = function()
      redis.call('HSET', meta, 'archived', text == 'on' and 1 or 0)
    end,
    ban = function()
      for person, packed in pairs(pairs_of(redis.call('HGETALL', bans))) do
        local ends = cmsgpack.unpack(packed)[BAN.ends]
        if ends > 0 and ends <= now then
          redis.call('HDEL', bans, person)
        end
      end
      local ends = draft.seconds > 0 and now + 1000 * draft.seconds or 0
      redis.call('HSET', bans, subject, cmsgpack.pack({
        draft.subject_name, draft.sender_name, now, ends, draft.reason,
      }))
      remove(subject)
    end,
    unban = function()
      redis.call('HDEL', bans, subject)
    end,
    invite = function()
      if not row_of(subject) then
        set_row(subject, { draft.subject_name, 'invited', ts, 0, 0, 'all', 0, draft.sender_name })
      end
    end,
    decline = function()
      local row = row_of(sender)
      if row and row[ROW.role] == 'invited' then
        redis.call('HDEL', who, sender)
      end
    end,
    operator = function()
      local row = row_of(subject)
      if row and row[ROW.role] ~= 'invited' then
        row[ROW.role] = kind
        set_row(subject, row)
      end
    end,
  }
  change_room.member = change_room.operator
  -- Everybody is in the lobby, always, and nobody operates it.
  local of_the_lobby = { topic = true, slow = true, announcements = true, archive = true }
  local about_somebody = {
    kick = true, ban = true, unban = true, invite = true, operator = true, member = true,
  }

  local function append_to_room()
    if not exists then
      return { 'no', 'unknown_conversation' }
    end
    local reply = add()
    if (not is_lobby or of_the_lobby[kind]) and (subject ~= '' or not about_somebody[kind]) then
      change_room[kind]()
    end
    return reply
  end

  -- Drop the oldest entries beyond those that are kept; some at a time, for each time costs.
  local function shorten()
    local extra = seq - base - draft.keep
    if draft.keep == 0 or extra < math.max(16, draft.keep / 16) then
      return
    end
    local last = read(base + extra)
    redis.call('LTRIM', log, extra, -1)
    base = base + extra
    redis.call('HSET', meta, 'base', base, 'base_texts', last[RECORD.texts])
    redis.call('ZREMRANGEBYSCORE', deleted, '-inf', base)
    redis.call('ZREMRANGEBYLEX', reactions, '-', '[' .. digits(base) .. ';')
    redis.call('ZREMRANGEBYLEX', pins, '-', '[' .. digits(base) .. ';')
  end

  local reply
  if kind == 'text' then
    reply = append_text()
  elseif
    kind == 'edit' or kind == 'delete' or kind == 'react' or kind == 'unreact' or kind == 'pin' or kind == 'unpin'
  then
    reply = append_change()
  elseif kind == 'create' then
    reply = append_create()
  else
    reply = append_to_room()
  end
  if reply[1] == 'ok' then
    shorten()
  end
  return reply
end

local replies, key = { 'done' }, 7
for index = 2, #ARGV, 2 do
  local draft = cmsgpack.unpack(ARGV[index])
  local last = key + (draft.has_claim and 14 or 13)
  local reply = append(draft, ARGV[index + 1], unpack(KEYS, key, last))
  replies[#replies + 1] = reply
  if reply[1] == 'changed' or reply[1] == 'again' or reply[1] == 'gone' then
    break
  end
  key = last + 1
end
return replies
